// A process that rebuilds the projection `runs` of the database that argv names (`connection` as JSON), and hangs in the
// middle of it, until it is killed.
import type { Projection } from '../../projections/projection.ts'
import { createProjector } from '../../projections/projector.ts'
import { runs } from '../../projections/runs.ts'
import { createPostgresEventStore } from '../../src/event-store/postgres.ts'
import { openPool } from '../../src/postgres/connection.ts'

const connection = JSON.parse(process.argv[2] ?? '')
const hanging: Projection = {
  ...runs,
  async fold(events, client) {
    await runs.fold(events, client)
    await new Promise(() => {})
  },
}
const projector = createProjector({
  store: createPostgresEventStore({ connection }),
  pool: openPool(connection, { purpose: 'test program' }),
  projections: [hanging],
  log: { info() {}, error() {} },
})
await projector.rebuild(null)
