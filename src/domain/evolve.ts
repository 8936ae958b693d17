import { canFollow } from './can-follow.ts'
import type { EventMetadata } from './event.ts'
import { deferralOver, deferred, entered, exited, killRequested } from './evolve-kill.ts'
import { heard, noted, summedUp } from './evolve-telemetry.ts'
import { gapWithoutPause, neverPaused, pausedMsAt, pauseOver, stoodStill, wentOn, wished } from './pause.ts'
import type { Receipt } from './receipt.ts'
import { limitNotices } from './resource-limits.ts'
import type { RecordedRunEvent } from './run-events.ts'
import type { CleanupStep, RunState, RunStatus } from './run-state.ts'

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
    workflowVersion: data.workflowVersion ?? null,
    restartOf: data.restartOf ?? null,
    restart: null,
    restartedAs: null,
    forceComplete: null,
    workspacePath: data.registered?.workspacePath ?? null,
    limits: null,
    startedAt: null,
    endedAt: null,
    rootExit: null,
    receipt: null,
    failure: null,
    phase: 'initialization',
    phaseSince: metadata.occurredAt,
    turns: 0,
    firstTurnAt: null,
    unsampledBeforeFirstTurnMs: 0,
    ...neverPaused,
    lastTurnAt: null,
    sections: [],
    progressPercent: null,
    usage: null,
    lastOutput: null,
    outputBytes: 0,
    processes: null,
    cpuMs: null,
    rssBytes: null,
    openFiles: null,
    ioReadBytes: null,
    ioWriteBytes: null,
    ...{ peakRssBytes: null, peakProcesses: null, peakOpenFiles: null, outOfMemory: null },
    lastHeartbeatAt: null,
    unsampledMs: 0,
    classified: null,
    notices: [],
    cleanup: { status: 'NONE', steps: [], doneAt: null },
    salvage: null,
    lateResults: 0,
    revision: event.revision,
    factSequence: 0,
  }
}

function apply(state: RunState, event: RecordedRunEvent): RunState {
  const at = event.metadata.occurredAt
  switch (event.type) {
    case 'RunRequested':
    case 'RunAdopted':
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
        limits: event.data.limits ?? [],
        notices: noted(state, limitNotices(event.data.limits ?? []), at),
        phaseSince: state.phase === 'initialization' ? event.data.startedAt : state.phaseSince,
      }
    case 'PhaseChanged':
      return { ...state, phase: event.data.phase, phaseSince: at }
    case 'TurnCompleted':
      return {
        ...state,
        turns: Math.max(state.turns, event.data.turn),
        firstTurnAt: state.firstTurnAt ?? at,
        ...(state.firstTurnAt === null ? untilFirstTurn(state, at) : {}),
        lastTurnAt: at,
      }
    case 'SamplingInterrupted':
      return { ...state, unsampledMs: state.unsampledMs + gapWithoutPause(state, event.data.gapMs, at) }
    case 'RunClassified': {
      const { verdict, rule, explanation } = event.data
      return { ...state, classified: { verdict, rule, explanation, at } }
    }
    case 'CriticalSectionEntered':
      return entered(state, event)
    case 'CriticalSectionExited':
      return exited(state, event)
    case 'KillRequested':
      return killRequested(state, event)
    case 'KillDeferred':
      return deferred(state, event)
    case 'SigtermSent':
      return { ...state, ...deferralOver(state, at), ...signalled(state, event) }
    case 'SigkillSent':
      return {
        ...state,
        ...deferralOver(state, at),
        ...signalled(state, event),
        killPhase: state.kill === null ? state.killPhase : 'KILLING',
      }
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
    case 'RestartRequested':
      return { ...state, restart: { ...event.data, ...requestOf(event.metadata) } }
    case 'RunRestarted':
      return { ...state, restartedAs: event.data.newRunId }
    case 'PauseRequested':
    case 'ResumeRequested': {
      const wish = { paused: event.type === 'PauseRequested', reason: event.data.reason, revision: event.revision }
      return wished(state, wish, event.metadata)
    }
    case 'RunPaused':
      return stoodStill(state, at)
    case 'RunResumed':
      return wentOn(state, at)
    case 'ForceCompleteRequested': {
      const { requestedBy, requestedAt } = requestOf(event.metadata)
      return { ...state, forceComplete: { ...event.data, requestedBy, requestedAt } }
    }
    case 'RunForceCompleted':
      return forceCompleted(state, event)
    case 'KillUnverified':
      return {
        ...state,
        ...deferralOver(state, at),
        status: 'KILL_UNVERIFIED',
        killPhase: 'VERIFYING',
        receipt: event.data.receipt,
      }
    case 'WorkspaceSalvaged':
      return { ...state, salvage: { ...event.data, at } }
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
      return heard(state, event.data, at)
    case 'TelemetrySummarised':
      return summedUp(state, event.data)
  }
}

const untilFirstTurn = (state: RunState, at: string) => ({
  unsampledBeforeFirstTurnMs: state.unsampledMs,
  pausedBeforeFirstTurnMs: pausedMsAt(state, Date.parse(at)),
})

const requestOf = (metadata: EventMetadata) => ({
  requestedBy: metadata.actor,
  requestedAt: metadata.occurredAt,
  cause: causeOf(metadata),
})

function forceCompleted(state: RunState, event: Extract<RecordedRunEvent, { type: 'RunForceCompleted' }>): RunState {
  const { outcome, receipt } = event.data
  const over = ended(state, event.metadata.occurredAt, outcome, receipt)
  if (outcome === 'COMPLETED') return over
  const message = state.forceComplete?.reason ?? 'It was ended as failed by decision.'
  return { ...over, failure: { reason: 'FORCED', message, code: null } }
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
    ...pauseOver(state, at),
    ...deferralOver(state, at),
    status,
    endedAt: at,
    receipt,
    processes: 0,
    sections: [],
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
