import type { DesiredRun, HostLink } from '../domain/host-link.ts'
import { type RunId, runOfStream } from '../domain/ids.ts'
import { isTerminal, type RunState } from '../domain/run-state.ts'
import type { EventStore } from '../event-store/event-store.ts'
import { delayOrAbort } from './delay.ts'
import type { Log } from './log.ts'
import { finishRestart } from './restart-saga.ts'
import { type LoadedRun, lastTelemetrySequence, loadRun } from './run-log.ts'

/** Up to where the store's events have reached this host. Kept beside the host's own data; going back is harmless. */
export type DispatchCheckpoint = {
  /** undefined: the host is new, so no event can concern it yet. */
  read(): Promise<number | undefined>
  write(position: number): Promise<void>
}

export type HostDispatcher = {
  /** Fixes where a new host begins to listen. What is requested of it before this, it is never told. */
  prepare(): Promise<void>
  /** Tells the host what should be true of its runs, until the signal aborts. */
  run(signal: AbortSignal): Promise<void>
  /** The host has been told about every run that it knew when this process began. */
  readonly reconciled: boolean
  /**
   * Tells the host of a kill right after it was recorded, where `run` finds it only once the store has handed it round
   * (20 ms, or seconds while it hangs). Only of a run that the host knows: one that it has yet to be told of takes its
   * place in the queue first. Only a short cut: a failure is logged, and `run` tells the host all the same.
   */
  tellOfKill(run: Pick<LoadedRun, 'state' | 'order'>): void
  /** Resolves when nothing of `tellOfKill` is under way. */
  settle(): Promise<void>
}

/** A checkpoint costs a small file write; one per this many milliseconds bounds both the writes and the repetition. */
const checkpointEveryMs = 1_000

/**
 * From the store to the host: whenever a run is requested or its kill is, the run is folded from its own stream and
 * the host is told what should be true of it. Nothing is concluded from a run that is not mentioned.
 */
export function createHostDispatcher(
  store: EventStore,
  host: HostLink,
  checkpoint: DispatchCheckpoint,
  log: Log,
  now: () => Date,
): HostDispatcher {
  /** What the host knew and has not been told yet; undefined before it was asked. */
  let unreconciled: Set<RunId> | undefined
  /** Runs that the host could not be told about (its disk is full, say): each is tried again on its own. */
  const behind = new Set<RunId>()
  const telling = new Set<Promise<void>>()

  async function run(signal: AbortSignal): Promise<void> {
    const after = await startingPoint()
    const known = await host.known()
    unreconciled ??= new Set(known)
    for (const runId of known) await tell(runId, signal)
    let written = Date.now()
    for await (const { events, position } of store.subscribe({
      after,
      filter: { streamPrefixes: ['run-'] },
      signal,
    })) {
      const runs = new Set<RunId>()
      for (const event of events) {
        const runId = runOfStream(event.stream)
        if (runId !== undefined && calling.has(event.type)) runs.add(runId)
      }
      await Promise.all([...runs].map((runId) => tell(runId, signal)))
      if (behind.size === 0 && Date.now() - written >= checkpointEveryMs) {
        await writeCheckpoint(position)
        written = Date.now()
      }
    }
  }

  /** Without it the host only hears again, after a restart, what it knows: no reason to keep anything from it now. */
  async function writeCheckpoint(position: number): Promise<void> {
    try {
      await checkpoint.write(position)
    } catch (error) {
      log.warn({ err: error, position }, 'how far this host has been told could not be kept; trying again')
    }
  }

  async function startingPoint(): Promise<number> {
    const known = await checkpoint.read()
    if (known !== undefined) return known
    const head = await store.head()
    await checkpoint.write(head)
    return head
  }

  /** Resolves once the host knows, or once a retry in the background has been arranged. */
  async function tell(runId: RunId, signal: AbortSignal): Promise<void> {
    try {
      await tellOnce(runId)
    } catch (error) {
      log.warn({ err: error, runId }, 'the host could not be told about a run; trying again')
      void retry(runId, signal)
    }
  }

  async function retry(runId: RunId, signal: AbortSignal): Promise<void> {
    if (behind.has(runId)) return
    behind.add(runId)
    for (let delay = 100; !signal.aborted; delay = Math.min(delay * 2, 5_000)) {
      await delayOrAbort(delay, signal)
      try {
        await tellOnce(runId)
        behind.delete(runId)
        return
      } catch (error) {
        log.warn({ err: error, runId }, 'the host could still not be told about a run')
      }
    }
  }

  async function tellOnce(runId: RunId): Promise<void> {
    const loaded = await loadRun(store, runId)
    if (loaded !== undefined && loaded.state.host === host.hostId) await serve(loaded)
    unreconciled?.delete(runId)
  }

  async function serve({ state, order }: LoadedRun): Promise<void> {
    if (state.restart !== null) await finishRestart(store, state.runId, now)
    if (isFinished(state)) return
    const telemetrySequence = await lastTelemetrySequence(store, state.runId)
    await host.want(desired(state, order, telemetrySequence))
  }

  async function tellOfKill({ state, order }: Pick<LoadedRun, 'state' | 'order'>): Promise<void> {
    const { runId, kill } = state
    if (state.host !== host.hostId || kill === null || isFinished(state)) return
    try {
      // The fact numbers matter to a host that opens the run, which it has done here.
      if ((await host.known()).includes(runId)) await host.want(desired(state, order, 0))
    } catch (error) {
      log.warn({ err: error, runId }, 'the host could not be told of a kill at once; the event tells it')
    }
  }

  return {
    tellOfKill(run) {
      const told = tellOfKill(run)
      telling.add(told)
      void told.then(() => telling.delete(told))
    },
    async settle() {
      await Promise.all(telling)
    },
    async prepare() {
      await startingPoint()
    },
    run,
    get reconciled() {
      return unreconciled?.size === 0
    },
  }
}

/** Events after which there is something to do about a run: its host to be told, or a restart to be finished. */
const calling = new Set([
  'RunRequested',
  'KillRequested',
  'PauseRequested',
  'ResumeRequested',
  'RestartRequested',
  'RunKilled',
  'RunCompleted',
  'RunFailed',
  'RunLost',
  'RunForceCompleted',
])

const isFinished = (state: RunState) => isTerminal(state.status) && state.cleanup.doneAt !== null

/** What the run's own events say should be true of it. */
export function desired(state: RunState, order: number, telemetrySequence: number): DesiredRun {
  const { runId, launch, registered, kill, pause, policy } = state
  const work = launch !== null ? { kind: 'launch' as const, launch } : superviseOf(registered, runId)
  return {
    runId,
    order,
    work,
    kill: kill && {
      kind: kill.kind,
      requestedAt: kill.requestedAt,
      graceMs: kill.graceMs,
      proofDeadlineMs: kill.proofDeadlineMs,
      ...(kill.sectionLimits === null ? {} : { sectionLimits: kill.sectionLimits }),
    },
    ...(pause === null ? {} : { pause: { paused: pause.paused, revision: pause.revision } }),
    leftovers: { graceMs: policy.graceMs, proofDeadlineMs: policy.proofDeadlineMs },
    factSequence: Math.max(state.factSequence, telemetrySequence),
  }
}

function superviseOf(registered: RunState['registered'], runId: RunId): DesiredRun['work'] {
  if (registered === null) throw new Error(`${runId} was neither launched nor registered`)
  return { kind: 'supervise', root: registered.root, workspacePath: registered.workspacePath }
}
