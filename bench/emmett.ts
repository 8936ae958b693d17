import { getPostgreSQLEventStore } from '@event-driven-io/emmett-postgresql'
import type { NewEvent } from '../src/domain/event.ts'
import { type DatabaseConnection, openPool } from '../src/postgres/connection.ts'

/**
 * Emmett's event store as its documentation sets it up: one store, a pool of connections, `appendToStream`. Its tables
 * are made before it returns.
 */
export async function openEmmett(connection: DatabaseConnection, connections: number) {
  const { host, port, user, database } = connection
  const url = `postgresql://${user}@localhost:${port}/${database}?host=${encodeURIComponent(String(host))}`
  const pool = openPool(connection, { purpose: 'emmett', max: connections })

  const store = getPostgreSQLEventStore(url, { connectionOptions: { pool } })
  await store.schema.migrate()
  return {
    append: (stream: string, { type, data, metadata }: NewEvent) =>
      store.appendToStream(stream, [{ type, data: data as Record<string, unknown>, metadata }]),
    async close() {
      await store.close()
      await pool.end()
    },
  }
}
