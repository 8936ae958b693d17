import type { Actor, EventMetadata } from './event.ts'
import type { HostId, RunId } from './ids.ts'
import type { LaunchSpec } from './launch.ts'
import type { Policy } from './policy.ts'
import { type ProcessIdentity, sameProcess } from './process-identity.ts'
import type { ProofLevel, Receipt, RootExit } from './receipt.ts'
import type { KillKind, RecordedRunEvent, RunEventBody, Usage } from './run-events.ts'

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
export type RunState = {
  runId: RunId
  workflow: string
  origin: 'launched' | 'registered'
  host: HostId
  launch: LaunchSpec | null
  registered: { root: ProcessIdentity; workspacePath: string | null } | null
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
  /** When a kill first signalled the tree. Signals to leftovers do not count: their root had ended by itself. */
  firstSignalAt: string | null
  attempt: number
  root: ProcessIdentity | null
  level: ProofLevel | null
  workspacePath: string | null
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
  lastTurnAt: string | null
  progressPercent: number | null
  usage: Usage | null
  lastOutput: string | null
  outputBytes: number
  processes: number | null
  cpuMs: number | null
  rssBytes: number | null
  peakRssBytes: number | null
  peakProcesses: number | null
  lastHeartbeatAt: string | null
  notices: { code: string; detail: string; at: string }[]
  cleanup: { status: 'NONE' | 'RUNNING' | 'DONE' | 'FAILED'; steps: CleanupStep[]; doneAt: string | null }
  lateResults: number
  /** Revision of the last event of the `run-…` stream that is folded in. */
  revision: number
  /** Highest number among the host's facts that are folded in. */
  factSequence: number
}

export type KillState = {
  kind: KillKind
  reason: string | null
  requestedBy: Actor
  requestedAt: string
  graceMs: number
  proofDeadlineMs: number
  idempotencyKeys: string[]
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

/** Whether the event may change what is known of the run: an end is for good, and rests on proof. */
export function canFollow(event: RunEventBody, state: RunState): boolean {
  const over = isTerminal(state.status)
  switch (event.type) {
    case 'RunStarted':
      return !over && state.root === null
    case 'ProcessExited':
      return !over && state.rootExit === null
    case 'RunKilled':
    case 'RunCompleted':
    case 'RunLost':
      return !over && proves(event.data.receipt, state)
    case 'RunFailed':
      return (
        !over && (event.data.receipt === null ? neverLaunched(event.data, state) : proves(event.data.receipt, state))
      )
    case 'KillUnverified':
      return !over && event.data.receipt.runId === state.runId
    case 'CleanupStepCompleted':
    case 'CleanupStepFailed':
    case 'RunCleaned':
      return over && state.cleanup.doneAt === null
    case 'LateResultObserved':
    case 'TelemetrySummarised':
      return true
    default:
      return !over
  }
}

/** A receipt proves the death of the run it was made for, and of the very process that was started. */
function proves(receipt: Receipt, state: RunState): boolean {
  if (!receipt.proven || receipt.runId !== state.runId) return false
  return state.root === null || (receipt.root !== null && sameProcess(receipt.root, state.root))
}

const neverLaunched = (data: { reason: string }, state: RunState) =>
  data.reason === 'LAUNCH_FAILED' && state.root === null

/** At most this many notices are kept in the state; the events keep them all. */
const noticesMax = 20

/**
 * The state after one more event. Total: an event that cannot follow leaves the state as it is (apart from counters).
 * @param state undefined before RunRequested.
 */
export function evolve(state: RunState | undefined, event: RecordedRunEvent): RunState | undefined {
  if (event.type === 'RunRequested') return state ?? requested(event)
  if (state === undefined) return undefined
  const next = canFollow(event, state) ? apply(state, event) : state
  return {
    ...next,
    revision: event.type === 'HeartbeatRecorded' ? state.revision : event.revision,
    factSequence: Math.max(state.factSequence, event.metadata.fact?.sequence ?? 0),
  }
}

function requested(event: Extract<RecordedRunEvent, { type: 'RunRequested' }>): RunState {
  const { data, metadata } = event
  return {
    runId: data.runId,
    workflow: data.workflow,
    origin: data.origin,
    host: data.host,
    launch: data.launch,
    registered: data.registered,
    policy: data.policy,
    labels: data.labels,
    idempotencyKey: data.idempotencyKey ?? null,
    requestedBy: metadata.actor,
    requestedAt: metadata.occurredAt,
    cause: causeOf(metadata),
    status: 'REQUESTED',
    killPhase: 'NONE',
    kill: null,
    firstSignalAt: null,
    attempt: 0,
    root: null,
    level: null,
    workspacePath: data.registered?.workspacePath ?? null,
    startedAt: null,
    endedAt: null,
    rootExit: null,
    receipt: null,
    failure: null,
    phase: 'initialization',
    phaseSince: metadata.occurredAt,
    turns: 0,
    firstTurnAt: null,
    lastTurnAt: null,
    progressPercent: null,
    usage: null,
    lastOutput: null,
    outputBytes: 0,
    processes: null,
    cpuMs: null,
    rssBytes: null,
    peakRssBytes: null,
    peakProcesses: null,
    lastHeartbeatAt: null,
    notices: [],
    cleanup: { status: 'NONE', steps: [], doneAt: null },
    lateResults: 0,
    revision: event.revision,
    factSequence: 0,
  }
}

function apply(state: RunState, event: RecordedRunEvent): RunState {
  const at = event.metadata.occurredAt
  switch (event.type) {
    case 'RunRequested':
      return state
    case 'RunStarted':
      return {
        ...state,
        status: state.status === 'REQUESTED' ? 'RUNNING' : state.status,
        attempt: event.data.attempt,
        root: event.data.root,
        level: event.data.level,
        workspacePath: event.data.workspacePath,
        startedAt: event.data.startedAt,
        phaseSince: state.phase === 'initialization' ? event.data.startedAt : state.phaseSince,
      }
    case 'RunAdopted':
      return state
    case 'PhaseChanged':
      return { ...state, phase: event.data.phase, phaseSince: at }
    case 'TurnCompleted':
      return {
        ...state,
        turns: Math.max(state.turns, event.data.turn),
        firstTurnAt: state.firstTurnAt ?? at,
        lastTurnAt: at,
      }
    case 'KillRequested':
      return killRequested(state, event)
    case 'SigtermSent':
      return { ...state, ...signalled(state, event) }
    case 'SigkillSent':
      return { ...state, ...signalled(state, event), killPhase: state.kill === null ? state.killPhase : 'KILLING' }
    case 'ProcessExited':
      return {
        ...state,
        rootExit: { ...event.data, beforeFirstSignal: state.firstSignalAt === null },
        killPhase: state.firstSignalAt !== null && state.kill !== null ? 'VERIFYING' : state.killPhase,
      }
    case 'RunKilled':
      return ended(state, at, 'KILLED', event.data.receipt)
    case 'RunCompleted':
      return ended(state, at, 'COMPLETED', event.data.receipt)
    case 'RunLost':
      return ended(state, at, 'LOST', event.data.receipt)
    case 'RunFailed':
      return {
        ...ended(state, at, 'FAILED', event.data.receipt),
        failure: { reason: event.data.reason, message: event.data.message, code: event.data.code ?? null },
      }
    case 'KillUnverified':
      return { ...state, status: 'KILL_UNVERIFIED', killPhase: 'VERIFYING', receipt: event.data.receipt }
    case 'CleanupStepCompleted':
      return withStep(state, event.data.step, { status: 'COMPLETED', detail: event.data.detail, at })
    case 'CleanupStepFailed':
      return withStep(state, event.data.step, { status: 'FAILED', detail: event.data.error, at })
    case 'RunCleaned':
      return {
        ...state,
        killPhase: state.killPhase === 'NONE' ? 'NONE' : 'DONE',
        cleanup: {
          ...state.cleanup,
          status: event.data.failedSteps.length === 0 ? 'DONE' : 'FAILED',
          doneAt: at,
        },
      }
    case 'LateResultObserved':
      return { ...state, lateResults: state.lateResults + 1 }
    case 'HeartbeatRecorded':
      return withTelemetry(state, event.data, at)
    case 'TelemetrySummarised':
      return {
        ...withTelemetry(state, event.data, event.data.lastHeartbeatAt ?? state.lastHeartbeatAt),
        peakRssBytes: event.data.peakRssBytes ?? state.peakRssBytes,
        peakProcesses: event.data.peakProcesses ?? state.peakProcesses,
      }
  }
}

function killRequested(state: RunState, event: Extract<RecordedRunEvent, { type: 'KillRequested' }>): RunState {
  const { kind, reason, graceMs, proofDeadlineMs, idempotencyKey } = event.data
  return {
    ...state,
    cause: causeOf(event.metadata),
    status: 'KILLING',
    killPhase: kind === 'graceful' ? 'TERMINATING' : 'KILLING',
    kill: {
      kind,
      reason,
      graceMs,
      proofDeadlineMs,
      requestedBy: event.metadata.actor,
      requestedAt: event.metadata.occurredAt,
      idempotencyKeys: [...(state.kill?.idempotencyKeys ?? []), ...(idempotencyKey ? [idempotencyKey] : [])],
    },
  }
}

const causeOf = ({ correlationId, eventId }: EventMetadata) => ({ correlationId, eventId })

const signalled = (
  state: RunState,
  { data, metadata }: Extract<RecordedRunEvent, { type: 'SigtermSent' | 'SigkillSent' }>,
) => ({
  firstSignalAt: state.firstSignalAt ?? (data.cause === 'kill' ? metadata.occurredAt : null),
})

function ended(state: RunState, at: string, status: RunStatus, receipt: Receipt | null): RunState {
  return {
    ...state,
    status,
    endedAt: at,
    receipt,
    processes: 0,
    killPhase: state.kill === null ? 'NONE' : 'CLEANING',
    cleanup: { ...state.cleanup, status: 'RUNNING' },
  }
}

function withStep(state: RunState, step: string, result: Pick<CleanupStep, 'status' | 'detail' | 'at'>): RunState {
  const before = state.cleanup.steps.find((known) => known.step === step)
  const after: CleanupStep = { step, ...result, attempts: (before?.attempts ?? 0) + 1 }
  const steps =
    before === undefined
      ? [...state.cleanup.steps, after]
      : state.cleanup.steps.map((known) => (known === before ? after : known))
  return { ...state, cleanup: { ...state.cleanup, status: 'RUNNING', steps } }
}

type Telemetry = Extract<RecordedRunEvent, { type: 'HeartbeatRecorded' | 'TelemetrySummarised' }>['data']

function withTelemetry(state: RunState, data: Telemetry, at: string | null): RunState {
  const notices = 'notices' in data && data.notices !== undefined ? data.notices : []
  return {
    ...state,
    progressPercent: data.progressPercent ?? state.progressPercent,
    usage: data.usage === undefined ? state.usage : { ...state.usage, ...data.usage },
    lastOutput: data.lastOutput ?? state.lastOutput,
    outputBytes: data.outputBytes ?? state.outputBytes,
    processes: isTerminal(state.status) ? 0 : (data.processes ?? state.processes),
    cpuMs: data.cpuMs ?? state.cpuMs,
    rssBytes: data.rssBytes ?? state.rssBytes,
    peakRssBytes: largest(state.peakRssBytes, data.rssBytes),
    peakProcesses: largest(state.peakProcesses, data.processes),
    lastHeartbeatAt: at,
    notices: [...state.notices, ...notices.map((notice) => ({ ...notice, at: at ?? state.requestedAt }))].slice(
      -noticesMax,
    ),
  }
}

const largest = (a: number | null, b: number | undefined) => (b === undefined ? a : Math.max(a ?? 0, b))
