import { createTestDatabase } from '../support/database.ts'
import { describeEventStore } from './event-store.ts'

describeEventStore('PostgreSQL', async () => {
  const { connection, drop } = await createTestDatabase()
  return { address: { engine: 'postgres', connection }, countsEvents: true, isUsed: false, destroy: drop }
})
