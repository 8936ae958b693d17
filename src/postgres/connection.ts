import pg from 'pg'

/** Where a database is: the embedded server's socket directory, user and database, or what {@link databaseAt} read. */
export type DatabaseConnection = pg.PoolConfig

/** Reads `postgres://user:password@host:port/database?…` (also `postgresql://`). @throws TypeError for anything else. */
export function databaseAt(url: string): DatabaseConnection {
  if (!/^postgres(ql)?:\/\//.test(url)) {
    throw new TypeError('a database URL looks like postgres://user:password@host:5432/database')
  }
  return { connectionString: url }
}

export type PoolOptions = {
  /** Shown in pg_stat_activity, after `runwarden `. */
  purpose: string
  /** Connections at most. Default 8. */
  max?: number
  /** The server gives a statement up after this. Default 30,000; 0: never. */
  statementTimeoutMs?: number
  /** Settings of the session, such as `-c enable_seqscan=off`; a URL that has options of its own wins. */
  sessionOptions?: string
  /** Told of a connection that broke while nobody used it. The pool opens another one by itself. */
  onConnectionLost?: (error: Error) => void
}

const connectTimeoutMs = 5_000
/** Past the server's own timeout by this much, the server is not answering at all. */
const answerGraceMs = 5_000

/** The settings that every connection of Runwarden has. */
export function withDefaults(connection: DatabaseConnection, options: PoolOptions): pg.PoolConfig {
  const statementTimeoutMs = options.statementTimeoutMs ?? 30_000
  return {
    ...connection,
    application_name: `runwarden ${options.purpose}`,
    max: options.max ?? 8,
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    ...(options.sessionOptions !== undefined && { options: options.sessionOptions }),
    ...(statementTimeoutMs > 0 && {
      statement_timeout: statementTimeoutMs,
      query_timeout: statementTimeoutMs + answerGraceMs,
    }),
  }
}

/** Opens no connection yet. A connection that breaks never ends the process: whoever uses it gets the error. */
export function openPool(connection: DatabaseConnection, options: PoolOptions): pg.Pool {
  const pool = new pg.Pool(withDefaults(connection, options))
  const lost = options.onConnectionLost ?? (() => {})
  pool.on('error', lost)
  // The pool listens to idle connections only; one that breaks between two statements of a transaction has nobody.
  // The next statement on it fails with the same error.
  pool.on('connect', (client) => client.on('error', () => {}))
  return pool
}

/** Runs `work` in one transaction: commits when it resolves, rolls back when it throws. */
export async function withTransaction<Result>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<Result>,
): Promise<Result> {
  const client = await pool.connect()
  let broken = false
  try {
    await client.query('begin')
    const result = await work(client)
    await client.query('commit')
    return result
  } catch (error) {
    // A connection on which even the rollback fails is not given back; the server rolls back by itself.
    await client.query('rollback').catch(() => {
      broken = true
    })
    throw error
  } finally {
    client.release(broken)
  }
}

const networkCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ENOENT', // no socket file: the server is not running
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
])

const sqlStates = new Set([
  '57P01', // admin shutdown
  '57P02', // crash shutdown
  '57P03', // starting up or shutting down
  '57P05', // idle session timeout
  '57014', // statement timeout
  '55P03', // lock timeout
  '25006', // read-only: a standby, or a disk-full guard
  '58030', // I/O error
])

/** What `pg` says without a code. */
const clientMessages =
  /^Connection terminated|^timeout expired|^timeout exceeded when trying to connect|^Query read timeout|not queryable$/

/**
 * Whether the database is away, or cannot write now (disk full, read-only, out of connections): a later try may
 * succeed as it is. Everything else is a bug or a wrong setting.
 */
export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code, severity } = error as Error & { code?: unknown; severity?: unknown }
  if (typeof code !== 'string') return clientMessages.test(error.message)
  if (networkCodes.has(code) || sqlStates.has(code)) return true
  // 08: connection, 53: resources (disk, memory, connections).
  if (/^(08|53)...$/.test(code)) return true
  // "database is not currently accepting connections"
  return code === '55000' && severity === 'FATAL'
}
