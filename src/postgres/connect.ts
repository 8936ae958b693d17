import pg from 'pg'
import { port } from './access.ts'
import { superuser } from './cluster.ts'

/** For `pg`; complete, so that no PG… variable of the environment changes it. */
export type EmbeddedConnection = { host: string; port: number; user: string; database: string; ssl: false }

const connectTimeoutMs = 10_000

export const connectionTo = (socketDirectory: string, database: string): EmbeddedConnection => ({
  host: socketDirectory,
  port,
  user: superuser,
  database,
  ssl: false,
})

/** False while there is no socket yet, and while the server starts up or shuts down. */
export async function takesConnections(socketDirectory: string): Promise<boolean> {
  try {
    await withClient(connectionTo(socketDirectory, 'postgres'), async () => {})
    return true
  } catch (error) {
    const code = (error as { code?: string }).code ?? ''
    // ENOENT, ECONNREFUSED: not listening; 57P03: starting up or shutting down; ECONNRESET, EPIPE: just ended.
    if (['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE', '57P03', '57P01'].includes(code)) return false
    if (error instanceof Error && /terminated unexpectedly|timeout/.test(error.message)) return false
    throw error
  }
}

/** A start that was interrupted between initdb and here is made good. */
export async function ensureDatabase(socketDirectory: string, name: string): Promise<void> {
  await withClient(connectionTo(socketDirectory, 'postgres'), async (client) => {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [name])
    if (rowCount === 0) await client.query(`create database ${pg.escapeIdentifier(name)}`)
  })
}

async function withClient(connection: EmbeddedConnection, act: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ ...connection, connectionTimeoutMillis: connectTimeoutMs })
  // A server that goes away ends the query that waits; a late 'error' event would end this process.
  client.on('error', () => {})
  try {
    await client.connect()
    await act(client)
  } finally {
    await client.end()
  }
}
