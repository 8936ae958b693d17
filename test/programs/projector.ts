// A process that runs the projections of the database that argv names, until it is killed: `connection` as JSON.
// Says on stdout, a line each, every new state of its first projection.
import { setTimeout as delay } from 'node:timers/promises'
import { allProjections } from '../../projections/all.ts'
import { createProjector } from '../../projections/projector.ts'
import { createPostgresEventStore } from '../../src/event-store/postgres.ts'
import { openPool } from '../../src/postgres/connection.ts'

const connection = JSON.parse(process.argv[2] ?? '')
const projector = createProjector({
  store: createPostgresEventStore({ connection }),
  pool: openPool(connection, { purpose: 'test program' }),
  projections: allProjections,
  log: { info() {}, error() {} },
})
projector.start()
for (let said = ''; ; await delay(20)) {
  const state = (await projector.status())[0]?.state ?? ''
  if (state !== said) process.stdout.write(`${state}\n`)
  said = state
}
