import type pg from 'pg'
import type { EventStore } from '../src/event-store/event-store.ts'
import { pause } from '../src/postgres/retry.ts'
import {
  type Checkpoint,
  failureText,
  type ProjectionFailure,
  projectionsChannel,
  readCheckpoints,
} from './checkpoint.ts'
import type { Projection } from './projection.ts'
import { openSession, type Session } from './session.ts'

/** The projection has stopped before the awaited position, and needs a rebuild or a skip. What was recorded is safe in the store. */
export class ProjectionFailed extends Error {
  override readonly name = 'ProjectionFailed'
  readonly projection: string

  constructor(projection: string, failure: ProjectionFailure) {
    super(`the projection ${projection} has stopped at ${failureText(failure)}`)
    this.projection = projection
  }
}

/** Where projections have come to, in whatever process they run. */
export type Positions = ReturnType<typeof createPositions>

export type PositionsContext = { store: EventStore; pool: pg.Pool; projections: readonly Projection[] }

type Waiter = { name: string; position: number; resolve(): void; reject(error: unknown): void }

/** NOTIFY is the quick way; this is how late it may be when a notification is lost. */
const pollMs = 500
const reconnectMs = 1_000

export function createPositions({ store, pool, projections }: PositionsContext) {
  const reachedBy = new Map<string, number>()
  const failures = new Map<string, ProjectionFailure>()
  /** Those that are folded in this process: who waits for them is told at once. */
  const ledHere = new Set<string>()
  /** Those whose tables were made by this code, from this store. */
  let ready = new Set<string>()
  const waiters = new Set<Waiter>()

  /** The rows hold every event up to `position`. */
  function reached(name: string, position: number): void {
    restarted(name, Math.max(position, last(name)))
  }

  /** The same of tables that were made anew: they may be behind those before them. */
  function restarted(name: string, position: number): void {
    reachedBy.set(name, position)
    failures.delete(name)
    settle(name)
  }

  function failed(name: string, failure: ProjectionFailure): void {
    failures.set(name, failure)
    settle(name)
  }

  /** Asks the database. Tables of other code, or from another store, have come nowhere in our sense. */
  async function refresh(client: Pick<pg.ClientBase, 'query'>): Promise<Map<string, Checkpoint>> {
    const [checkpoints, storeId] = await Promise.all([readCheckpoints(client), store.storeId()])
    ready = new Set()
    for (const { name, version } of projections) {
      const checkpoint = checkpoints.get(name)
      if (checkpoint?.version === version && checkpoint.storeId === storeId) {
        ready.add(name)
        reached(name, checkpoint.position)
      }
      if (checkpoint?.failure) failed(name, checkpoint.failure)
      else if (checkpoint !== undefined) failures.delete(name)
    }
    return checkpoints
  }

  /** As far as is known here; -1: its tables are not there yet. */
  const last = (name: string) => reachedBy.get(name) ?? -1

  function settle(name: string): void {
    for (const waiter of waiters) if (waiter.name === name) tryToSettle(waiter)
  }

  function tryToSettle(waiter: Waiter): void {
    const failure = failures.get(waiter.name)
    if (last(waiter.name) >= waiter.position) waiter.resolve()
    else if (failure !== undefined) waiter.reject(new ProjectionFailed(waiter.name, failure))
  }

  /**
   * Resolves when the projection's rows hold every event up to `position`.
   * @throws ProjectionFailed
   * @throws the signal's reason on abort.
   */
  async function wait(name: string, position: number, signal: AbortSignal): Promise<void> {
    // What was known to have stopped may have been rebuilt in another process since. Unasked, what is known stands.
    if (failures.has(name)) await refresh(pool).catch(() => {})
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiter = { name, position, resolve, reject }
    const onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    waiters.add(waiter)
    try {
      tryToSettle(waiter)
      await promise
    } finally {
      waiters.delete(waiter)
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** Follows what other processes commit, until the signal aborts. While the database is away, waiters wait. */
  async function listen(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let session: Session | undefined
      try {
        session = await openSession(pool, 'runwarden projection positions')
        await follow(session, signal)
      } catch {
        // Nobody is told here: the runners meet the same outage, and their state shows it.
        await pause(reconnectMs, signal)
      } finally {
        await session?.close()
      }
    }
  }

  async function follow(session: Session, signal: AbortSignal): Promise<void> {
    let nudge = new AbortController()
    // Who waits for a projection of this process is told by it; each of its commits is announced, too.
    const waitsElsewhere = () => [...waiters].some(({ name }) => !ledHere.has(name))
    session.client.on('notification', () => {
      if (waitsElsewhere()) nudge.abort()
    })
    await session.client.query(`LISTEN ${projectionsChannel}`)
    await refresh(session.client)
    const either = AbortSignal.any([signal, session.lost])
    while (!either.aborted) {
      await pause(pollMs, AbortSignal.any([either, nudge.signal]))
      nudge = new AbortController()
      if (waitsElsewhere() && !either.aborted) await refresh(session.client)
    }
  }

  return {
    /** This process folds it, until the answer is called. */
    led(name: string): () => void {
      ledHere.add(name)
      return () => ledHere.delete(name)
    },
    ...{ reached, restarted, failed, refresh, wait, listen, last },
    /** When it was last asked, its tables were there, made by this code and from this store. */
    isReady: (name: string) => ready.has(name),
  }
}
