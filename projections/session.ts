import { createHash } from 'node:crypto'
import pg from 'pg'
import { StoreUnavailable } from '../src/event-store/event-store.ts'
import { isUnavailable } from '../src/postgres/connection.ts'
import { pause } from '../src/postgres/retry.ts'

/** A connection of its own, for what is bound to one: advisory locks, LISTEN, a fold's transactions. */
export type Session = {
  client: pg.Client
  /** Aborts when the connection is lost, and with it every lock. */
  lost: AbortSignal
  close(): Promise<void>
}

/**
 * Connects where the pool does, without taking one of its connections for good.
 *
 * Commits do not wait for the disk: after a crash rows and checkpoint are back at the same earlier moment, and the
 * events, which are durable, are folded again.
 */
export async function openSession(pool: pg.Pool, purpose: string): Promise<Session> {
  const client = new pg.Client({ ...pool.options, password: pool.options.password, application_name: purpose })
  const lost = new AbortController()
  client.on('error', (error) => lost.abort(error))
  client.on('end', () => lost.abort(new Error('the connection has ended')))
  try {
    await client.connect()
    await client.query("SET synchronous_commit = off; SET search_path = public; SET timezone = 'UTC'")
  } catch (error) {
    await end(client)
    throw error
  }
  return { client, lost: lost.signal, close: () => end(client) }
}

/** A connection that is broken already cannot be closed any better. */
const end = (client: pg.Client) => client.end().catch(() => {})

/** `run`: folds the live tables. `rebuild`: builds them anew. */
export type LockKind = 'run' | 'rebuild'

/** Between two tries for a lock: a process that stands by takes over within this time. */
const lockPollMs = 300

/**
 * Waits for the projection's lock of that kind. It is held until the session ends, by whatever end.
 * @returns false when `signal` aborted first.
 * @throws when the connection is lost.
 */
export async function acquireLock(
  session: Session,
  kind: LockKind,
  name: string,
  signal: AbortSignal,
): Promise<boolean> {
  while (!signal.aborted) {
    if (await tryLock(session, kind, name)) return true
    await pause(lockPollMs, signal)
  }
  return false
}

/** @returns false: somebody else has it. */
export async function tryLock({ client }: Session, kind: LockKind, name: string): Promise<boolean> {
  const { rows } = await client.query('SELECT pg_try_advisory_lock($1) AS locked', [lockKey(kind, name)])
  return rows[0].locked
}

export async function releaseLock({ client }: Session, kind: LockKind, name: string): Promise<void> {
  await client.query('SELECT pg_advisory_unlock($1)', [lockKey(kind, name)])
}

/** 63 bits of a hash: other programs' locks in the same database are not met by accident. */
const lockKey = (kind: LockKind, name: string) =>
  createHash('sha256').update(`runwarden projection ${kind} ${name}`).digest().readBigInt64BE(0).toString()

/** The work may succeed later as it is: the database or the store is away, or another transaction was in the way. */
export function isPassing(error: unknown): boolean {
  if (error instanceof StoreUnavailable || isUnavailable(error)) return true
  const code = (error as { code?: unknown } | null)?.code
  // Serialisation failure, deadlock: the server chose this transaction to give way.
  return code === '40001' || code === '40P01'
}

/** Runs `work` in one transaction of the session. The client's own error outranks that of a rollback on a lost connection. */
export async function inTransaction<Result>(client: pg.Client, work: () => Promise<Result>): Promise<Result> {
  await client.query('BEGIN')
  try {
    const result = await work()
    await client.query('COMMIT')
    return result
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {})
    throw error
  }
}

/** Within a transaction: what `work` did is undone when it throws, and the transaction can go on. */
export async function inSavepoint(client: pg.Client, work: () => Promise<void>): Promise<void> {
  await client.query('SAVEPOINT work')
  try {
    await work()
    await client.query('RELEASE SAVEPOINT work')
  } catch (error) {
    await client.query('ROLLBACK TO SAVEPOINT work').catch(() => {})
    throw error
  }
}
