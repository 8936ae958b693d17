import { startFakeKurrentDb } from '../support/kurrentdb/fake-server.ts'
import { describeEventStore } from './event-store.ts'

/** As docs/how-to/kurrentdb.md says it of a real server. */
const maxAppendBytes = 16 * 1024 * 1024

describeEventStore('KurrentDB (the fake server of test/support/kurrentdb)', async () => {
  const fake = await startFakeKurrentDb({ maxAppendBytes })
  const address = { engine: 'kurrentdb', url: fake.connectionString() } as const
  return { address, countsEvents: false, isUsed: false, destroy: () => fake.stop() }
})

const { KURRENTDB_URL } = process.env
if (KURRENTDB_URL) {
  describeEventStore('KurrentDB (the real server at KURRENTDB_URL)', async () => {
    const address = { engine: 'kurrentdb', url: KURRENTDB_URL } as const
    return { address, countsEvents: false, isUsed: true, destroy: async () => {} }
  })
}
