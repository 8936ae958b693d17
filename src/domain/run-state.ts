import type { OpenSection, SectionLimits } from './critical-section.ts'
import type { Actor } from './event.ts'
import type { HostId, RunId } from './ids.ts'
import type { LaunchSpec } from './launch.ts'
import type { OutOfMemory } from './out-of-memory.ts'
import type { Pausing } from './pause.ts'
import type { Policy } from './policy.ts'
import type { ProcessIdentity } from './process-identity.ts'
import type { ProofLevel, Receipt, RootExit } from './receipt.ts'
import type { LimitReport } from './resource-limits.ts'
import type { ForcedOutcome, KillKind, RunEventData, Usage, Verdict } from './run-events.ts'
import type { Salvage } from './salvage.ts'

export const runStatuses = [
  'REQUESTED',
  'RUNNING',
  'PAUSED',
  'KILLING',
  'KILLED',
  'KILL_UNVERIFIED',
  'COMPLETED',
  'FAILED',
  'LOST',
] as const
export type RunStatus = (typeof runStatuses)[number]

export const killPhases = ['NONE', 'DEFERRED', 'TERMINATING', 'KILLING', 'VERIFYING', 'CLEANING', 'DONE'] as const
export type KillPhase = (typeof killPhases)[number]

export type CleanupStep = {
  step: string
  status: 'COMPLETED' | 'FAILED'
  detail: string
  attempts: number
  at: string
}

/** Everything that is known of a run: the fold of its `run-…` and `telemetry-…` streams. JSON through and through. */
export type RunState = Pausing & {
  runId: RunId
  workflow: string
  origin: 'launched' | 'registered'
  host: HostId
  launch: LaunchSpec | null
  registered: { root: ProcessIdentity; workspacePath: string | null; launch?: LaunchSpec | undefined } | null
  /** Of the workflow's definition; null where the run was started from a command line. */
  workflowVersion: number | null
  policy: Policy
  labels: Record<string, string>
  idempotencyKey: string | null
  requestedBy: Actor
  requestedAt: string
  /** The latest request about this run: what its host does now is caused by it. */
  cause: { correlationId: string; eventId: string }
  status: RunStatus
  killPhase: KillPhase
  /** The strongest kill asked for so far. */
  kill: KillState | null
  restartOf: RunId | null
  /** The restart that was asked for, done or not. */
  restart: RestartState | null
  /** The run that was started in this one's place. */
  restartedAs: RunId | null
  forceComplete: { outcome: ForcedOutcome; reason: string | null; requestedBy: Actor; requestedAt: string } | null
  /** When a kill first signalled the tree. Signals to leftovers do not count: their root had ended by itself. */
  firstSignalAt: string | null
  attempt: number
  root: ProcessIdentity | null
  level: ProofLevel | null
  workspacePath: string | null
  /** What became of the limits that were asked for; null: it has not been started yet. */
  limits: LimitReport[] | null
  startedAt: string | null
  endedAt: string | null
  rootExit: (RootExit & { beforeFirstSignal: boolean }) | null
  receipt: Receipt | null
  failure: { reason: string; message: string; code: string | null } | null
  /** `initialization` until the run says otherwise. */
  phase: string
  phaseSince: string
  turns: number
  firstTurnAt: string | null
  /** How much of the time from the start to the first turn nobody sampled. */
  unsampledBeforeFirstTurnMs: number
  lastTurnAt: string | null
  /** Critical sections that it has declared and not left; the first 100. */
  sections: (Omit<OpenSection, 'source'> & { id: string })[]
  progressPercent: number | null
  usage: Usage | null
  lastOutput: string | null
  outputBytes: number
  processes: number | null
  cpuMs: number | null
  rssBytes: number | null
  openFiles: number | null
  ioReadBytes: number | null
  ioWriteBytes: number | null
  peakRssBytes: number | null
  peakProcesses: number | null
  peakOpenFiles: number | null
  /** null: the kernel killed none of its processes for memory, as far as its host can tell. */
  outOfMemory: OutOfMemory | null
  lastHeartbeatAt: string | null
  /** Of the time since the start: while nobody looked. It is no age. */
  unsampledMs: number
  /** The verdict as the monitor last recorded it; null: NORMAL from the start on. */
  classified: { verdict: Verdict; rule: string; explanation: string; at: string } | null
  notices: { code: string; detail: string; at: string }[]
  cleanup: { status: 'NONE' | 'RUNNING' | 'DONE' | 'FAILED'; steps: CleanupStep[]; doneAt: string | null }
  /** What was kept of its workspace before that was removed; null: nothing was, or not yet. */
  salvage: (Salvage & { at: string }) | null
  lateResults: number
  /** Revision of the last event of the `run-…` stream that is folded in. */
  revision: number
  /** Highest number among the host's facts that are folded in. */
  factSequence: number
}

export type RestartState = RunEventData<'RestartRequested'> & {
  requestedBy: Actor
  requestedAt: string
  /** Of RestartRequested: the new run's first event is made from it, so that it is made once. */
  cause: { correlationId: string; eventId: string }
}

export type KillState = {
  kind: KillKind
  reason: string | null
  requestedBy: Actor
  requestedAt: string
  graceMs: number
  proofDeadlineMs: number
  /** How long it waits for critical sections; null: not at all. */
  sectionLimits: SectionLimits | null
  /** null: there was nothing to wait for. */
  deferral: KillDeferral | null
  idempotencyKeys: string[]
}

/** The wait of a kill for critical sections. */
export type KillDeferral = {
  since: string
  /** At the latest. */
  until: string
  /** That were open when it began, or when it was prolonged. */
  sections: OpenSection[]
  /** When the kill went on; null: it waits. */
  endedAt: string | null
}

/** Ended for good: nothing but cleanup and late facts follows. */
export const isTerminal = (status: RunStatus) =>
  status === 'KILLED' || status === 'COMPLETED' || status === 'FAILED' || status === 'LOST'

/** Holds a place in its host's capacity. KILL_UNVERIFIED does: something of it may still live. */
export const holdsSlot = (state: RunState) =>
  state.status === 'KILL_UNVERIFIED' || (!isTerminal(state.status) && state.root !== null)

/** cache reads / all input tokens; null without input. */
export function cacheReadRatio(usage: Usage | null): number | null {
  const read = usage?.cacheReadTokens ?? 0
  const all = read + (usage?.inputTokens ?? 0) + (usage?.cacheCreationTokens ?? 0)
  return all === 0 ? null : read / all
}
