import { startFakeKurrentDb } from '../support/kurrentdb/fake-server.ts'
import { describeEventStore } from './event-store.ts'

/** As docs/how-to/kurrentdb.md sets it on a real server. */
const maxAppendBytes = 16 * 1024 * 1024

describeEventStore('KurrentDB (the fake server of test/support/kurrentdb)', async () => {
  const fake = await startFakeKurrentDb({ maxAppendBytes })
  const address = { engine: 'kurrentdb', url: fake.connectionString() } as const
  return { address, countsEvents: false, destroy: () => fake.stop() }
})
