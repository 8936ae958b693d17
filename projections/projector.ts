import type pg from 'pg'
import type { EventStore } from '../src/event-store/event-store.ts'
import type { Checkpoint, ProjectionFailure } from './checkpoint.ts'
import { createPositions } from './positions.ts'
import type { Projection } from './projection.ts'
import { type RebuildResult, rebuildProjection } from './rebuild.ts'
import { createRunner, type Logger, type Runner, type RunnerState } from './runner.ts'

export { ProjectionFailed } from './positions.ts'
export type { RebuildResult } from './rebuild.ts'
export type { Logger } from './runner.ts'

export type ProjectionStatus = {
  name: string
  /** Of this process's code. */
  version: number
  /** Every event up to here is in its tables. */
  position: number
  /** Positions it has yet to come; null while that cannot be asked. */
  lag: number | null
  state: RunnerState
  /** For people: why it is not running. */
  error?: string
  /** The event that stopped it. */
  failure?: ProjectionFailure
}

export type ProjectorOptions = {
  store: EventStore
  /** The database of the tables. */
  pool: pg.Pool
  projections: readonly Projection[]
  log: Logger
}

/** Drives the projections of one process; others with the same database stand by and take over. */
export type Projector = {
  names: readonly string[]
  /** Begins, in the background; the second call does nothing. */
  start(): void
  /**
   * Resolves when the projection's rows hold every event up to `position`, whichever process folds them.
   * @param name `runs` when absent.
   * @throws ProjectionFailed when it has stopped before that.
   * @throws the signal's reason on abort.
   */
  waitFor(position: number, signal: AbortSignal, name?: string): Promise<void>
  /** Never throws: what cannot be asked is told as it was last known. */
  status(): Promise<ProjectionStatus[]>
  /**
   * Builds tables anew while reads and writes go on.
   * @param wanted null: all.
   * @throws TypeError for a name that is none of `names`.
   * @throws FoldFailed for an event that cannot be folded; the live tables stay as they were.
   */
  rebuild(wanted: string[] | null, signal?: AbortSignal): Promise<RebuildResult[]>
  /** Ends every loop and wait, lets transactions under way finish, gives back locks and connections. */
  close(): Promise<void>
}

export function createProjector({ store, pool, projections, log }: ProjectorOptions): Projector {
  const closing = new AbortController()
  const positions = createPositions({ store, pool, projections })
  const runners = projections.map((projection) => createRunner(projection, { store, pool, positions, log }))
  const names = projections.map(({ name }) => name)
  let working: Promise<unknown> | undefined

  function start(): void {
    if (closing.signal.aborted) return
    working ??= Promise.all([positions.listen(closing.signal), ...runners.map((runner) => runner.run(closing.signal))])
  }

  function waitFor(position: number, signal: AbortSignal, name = 'runs'): Promise<void> {
    return positions.wait(name, position, AbortSignal.any([signal, closing.signal]))
  }

  async function status(): Promise<ProjectionStatus[]> {
    const [head, checkpoints] = await Promise.all([
      store.head().catch(() => undefined),
      positions.refresh(pool).catch(() => undefined),
    ])
    return runners.map((runner) => statusOf(runner, head, checkpoints?.get(runner.projection.name)))
  }

  function statusOf(runner: Runner, head: number | undefined, checkpoint: Checkpoint | undefined): ProjectionStatus {
    const { name, version } = runner.projection
    const { state, problem } = runner.status()
    const failure = checkpoint?.failure ?? undefined
    const position = checkpoint?.position ?? Math.max(0, positions.last(name))
    return {
      name,
      version,
      position,
      lag: head === undefined ? null : Math.max(0, head - position),
      // Also where another process runs it, and so met the event.
      state: failure === undefined ? state : 'failed',
      ...(failure !== undefined && {
        failure,
        error: `event ${failure.position} (${failure.type} of ${failure.stream}): ${failure.error}`,
      }),
      ...(failure === undefined && problem !== undefined && { error: problem }),
    }
  }

  async function rebuild(wanted: string[] | null, signal: AbortSignal = closing.signal): Promise<RebuildResult[]> {
    const unknown = wanted?.find((name) => !names.includes(name))
    if (unknown !== undefined) throw new TypeError(`there is no projection "${unknown}", only ${names.join(', ')}`)
    const either = AbortSignal.any([signal, closing.signal])
    const chosen = runners.filter(({ projection }) => wanted === null || wanted.includes(projection.name))
    // Together, because each one spends half its time waiting for the database. One that fails stops no other.
    const results = await Promise.allSettled(chosen.map((runner) => rebuildOne(runner, either)))
    for (const result of results) if (result.status === 'rejected') throw result.reason
    return results.filter((result) => result.status === 'fulfilled').map(({ value }) => value)
  }

  async function rebuildOne(runner: Runner, signal: AbortSignal): Promise<RebuildResult> {
    const { position, ...result } = await rebuildProjection(runner.projection, { store, pool }, signal)
    positions.restarted(result.name, position)
    runner.wake()
    return result
  }

  return {
    names,
    start,
    waitFor,
    status,
    rebuild,
    async close(): Promise<void> {
      closing.abort(new Error('the projector is closed'))
      await working
    },
  }
}
