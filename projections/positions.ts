import type pg from 'pg'
import { pause } from '../src/postgres/retry.ts'
import { type Checkpoint, type ProjectionFailure, projectionsChannel, readCheckpoints } from './checkpoint.ts'
import { openSession, type Session } from './session.ts'

/** The projection has stopped before the awaited position, and needs a rebuild. What was recorded is safe in the store. */
export class ProjectionFailed extends Error {
  override readonly name = 'ProjectionFailed'
  readonly projection: string

  constructor(projection: string, failure: ProjectionFailure) {
    super(
      `the projection ${projection} has stopped at event ${failure.position} (${failure.type} of ${failure.stream}): ${failure.error}`,
    )
    this.projection = projection
  }
}

/** Where projections have come to, in whatever process they run. */
export type Positions = ReturnType<typeof createPositions>

type Waiter = { name: string; position: number; resolve(): void; reject(error: unknown): void }

/** NOTIFY is the quick way; this is how late it may be when a notification is lost. */
const pollMs = 500
const reconnectMs = 1_000

export function createPositions(pool: pg.Pool) {
  const reachedBy = new Map<string, number>()
  const failures = new Map<string, ProjectionFailure>()
  const waiters = new Set<Waiter>()

  /** A commit, here or elsewhere. */
  function reached(name: string, position: number): void {
    reachedBy.set(name, Math.max(position, reachedBy.get(name) ?? 0))
    failures.delete(name)
    settle(name)
  }

  function failed(name: string, failure: ProjectionFailure): void {
    failures.set(name, failure)
    settle(name)
  }

  /** What the database says; a commit here may have overtaken the answer. */
  function refreshed(checkpoints: ReadonlyMap<string, Checkpoint>): void {
    for (const [name, { position, failure }] of checkpoints) {
      reached(name, position)
      if (failure !== null) failed(name, failure)
    }
  }

  function settle(name: string): void {
    for (const waiter of waiters) if (waiter.name === name) tryToSettle(waiter)
  }

  function tryToSettle(waiter: Waiter): void {
    const failure = failures.get(waiter.name)
    if ((reachedBy.get(waiter.name) ?? 0) >= waiter.position) waiter.resolve()
    else if (failure !== undefined) waiter.reject(new ProjectionFailed(waiter.name, failure))
  }

  /**
   * Resolves when the projection's rows hold every event up to `position`.
   * @throws ProjectionFailed
   * @throws the signal's reason on abort.
   */
  async function wait(name: string, position: number, signal: AbortSignal): Promise<void> {
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
    session.client.on('notification', ({ payload }) => {
      const [name, position] = payload?.split(':') ?? []
      if (name !== undefined) reached(name, Number(position))
    })
    await session.client.query(`LISTEN ${projectionsChannel}`)
    refreshed(await readCheckpoints(session.client))
    const either = AbortSignal.any([signal, session.lost])
    while (!either.aborted) {
      await pause(pollMs, either)
      if (waiters.size > 0 && !either.aborted) refreshed(await readCheckpoints(session.client))
    }
  }

  return {
    reached,
    failed,
    refreshed,
    wait,
    listen,
    /** As far as is known here. */
    last: (name: string) => reachedBy.get(name) ?? 0,
  }
}
