import type pg from 'pg'
import type { EventStore } from '../src/event-store/event-store.ts'
import { type Checkpoint, failureText, type ProjectionFailure, recordSkip, type Skip } from './checkpoint.ts'
import { FoldFailed } from './fold.ts'
import { createPositions } from './positions.ts'
import type { Projection } from './projection.ts'
import { type RebuildResult, rebuildProjections } from './rebuild.ts'
import { createRunner, type Logger, type Runner, type RunnerState } from './runner.ts'

export type { ProjectionFailure, Skip } from './checkpoint.ts'
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
  /**
   * `building`: its tables are not there yet, or do not yet have all that had been recorded when this process began: a
   * reader would miss what there is.
   */
  state: RunnerState | 'building'
  /** For people: why it is not running. */
  error?: string
  /** The event that stopped it. */
  failure?: ProjectionFailure
  /** Events that it may pass over, because it cannot take them and somebody decided so. */
  skips: Skip[]
}

export type ProjectorOptions = {
  store: EventStore
  /** The database of the tables. */
  pool: pg.Pool
  projections: readonly Projection[]
  log: Logger
}

/** A rebuild met an event that the projection cannot take. Its live tables are as they were. */
export class RebuildFailed extends Error {
  override readonly name = 'RebuildFailed'
  readonly projection: string
  readonly failure: ProjectionFailure

  constructor(projection: string, failed: FoldFailed) {
    super(`the projection ${projection} cannot take ${failed.message}`, { cause: failed })
    this.projection = projection
    this.failure = failed.failure
  }
}

/** Drives the projections of one process; others with the same database stand by and take over. */
export type Projector = {
  names: readonly string[]
  /** Those that get the events of streams with this prefix. */
  namesOf(streamPrefix: string): string[]
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
   * @throws RebuildFailed for an event that cannot be folded; the live tables stay as they were.
   */
  rebuild(wanted: string[] | null, signal?: AbortSignal): Promise<RebuildResult[]>
  /**
   * Lets a projection pass over the event that stopped it.
   * @param position of that event: nobody is to pass over another one than he has seen.
   * @returns undefined: it has not stopped there (any more), or has passed over too many.
   */
  skip(
    name: string,
    position: number,
    decision: Pick<Skip, 'skippedBy' | 'skippedAt' | 'reason'>,
  ): Promise<Skip | undefined>
  /** Ends every loop and wait, lets transactions under way finish, gives back locks and connections. */
  close(): Promise<void>
}

export function createProjector({ store, pool, projections, log }: ProjectorOptions): Projector {
  const closing = new AbortController()
  const positions = createPositions({ store, pool, projections })
  const runners = projections.map((projection) => createRunner(projection, { store, pool, positions, log }))
  const names = projections.map(({ name }) => name)
  let working: Promise<unknown> | undefined
  /** Where the store was when it was first asked. */
  let headAtFirst: number | undefined
  const caughtUp = new Set<string>()

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
    headAtFirst ??= head
    return runners.map((runner) => statusOf(runner, head, checkpoints?.get(runner.projection.name)))
  }

  function statusOf(runner: Runner, head: number | undefined, checkpoint: Checkpoint | undefined): ProjectionStatus {
    const { name, version } = runner.projection
    const { problem } = runner.status()
    const failure = checkpoint?.failure ?? undefined
    // Who runs it knows more than the database: what is not for it moves its position only now and then.
    const followed = Math.max(0, positions.last(name))
    const isHere = runner.status().state === 'running' && failure === undefined && positions.isReady(name)
    const position = checkpoint === undefined || isHere ? followed : checkpoint.position
    return {
      name,
      version,
      position,
      lag: head === undefined ? null : Math.max(0, head - position),
      // Also where another process runs it, and so met the event.
      state: failure === undefined ? stateOf(runner) : 'failed',
      ...(failure !== undefined && { failure, error: failureText(failure) }),
      ...(failure === undefined && problem !== undefined && { error: problem }),
      skips: checkpoint?.skips ?? [],
    }
  }

  function stateOf({ projection: { name }, status }: Runner): ProjectionStatus['state'] {
    const { state } = status()
    if (state !== 'running' && state !== 'standby') return state
    if (headAtFirst !== undefined && positions.last(name) >= headAtFirst) caughtUp.add(name)
    return positions.isReady(name) && caughtUp.has(name) ? state : 'building'
  }

  async function rebuild(wanted: string[] | null, signal: AbortSignal = closing.signal): Promise<RebuildResult[]> {
    const unknown = wanted?.find((name) => !names.includes(name))
    if (unknown !== undefined) throw new TypeError(`there is no projection "${unknown}", only ${names.join(', ')}`)
    const either = AbortSignal.any([signal, closing.signal])
    const chosen = runners.filter(({ projection }) => wanted === null || wanted.includes(projection.name))
    const projections = chosen.map(({ projection }) => projection)
    const results = await rebuildProjections(projections, { store, pool }, either, async () => true)
    const rebuilt = results.flatMap((result) => (result.status === 'fulfilled' && result.value) || [])
    for (const { name, position } of rebuilt) {
      positions.restarted(name, position)
      runnerOf(name)?.wake()
    }
    for (const [index, result] of results.entries()) {
      if (result.status === 'fulfilled') continue
      const { reason } = result
      throw reason instanceof FoldFailed ? new RebuildFailed(projections[index]?.name ?? '', reason) : reason
    }
    return rebuilt.map(({ position: _, ...result }) => result)
  }

  const runnerOf = (name: string) => runners.find(({ projection }) => projection.name === name)

  const skip: Projector['skip'] = async (name, position, decision) => {
    const skipped = await recordSkip(pool, name, position, decision)
    if (skipped !== undefined) runnerOf(name)?.wake()
    return skipped
  }

  return {
    names,
    namesOf: (prefix) =>
      projections.filter(({ streamPrefixes }) => streamPrefixes.includes(prefix)).map(({ name }) => name),
    start,
    waitFor,
    status,
    rebuild,
    skip,
    async close(): Promise<void> {
      closing.abort(new Error('the projector is closed'))
      await working
    },
  }
}
