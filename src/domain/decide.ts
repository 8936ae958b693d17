import { classify } from './classify.ts'
import { sectionLimitsOf } from './critical-section.ts'
import type { HostId, RunId } from './ids.ts'
import type { LaunchSpec } from './launch.ts'
import { limitToKillFor } from './limits.ts'
import { isEnding, pauseEvents, type RequestPause } from './pause.ts'
import type { Policy } from './policy.ts'
import type { ProcessIdentity } from './process-identity.ts'
import type { ForcedOutcome, KillKind, RunEventBody, RunEventData } from './run-events.ts'
import { isTerminal, type RunState, type RunStatus } from './run-state.ts'

export type RequestRun = {
  type: 'RequestRun'
  runId: RunId
  workflow: string
  host: HostId
  work:
    | { kind: 'launch'; launch: LaunchSpec }
    | { kind: 'supervise'; root: ProcessIdentity; workspacePath: string | null; launch?: LaunchSpec }
  policy: Policy
  labels: Record<string, string>
  idempotencyKey?: string
  workflowVersion?: number
  restartOf?: RunId
}

export type RequestKill = {
  type: 'RequestKill'
  kind: KillKind
  reason: string | null
  idempotencyKey?: string
}

/** The new run's parameters are worked out by the caller, because a decision reads nothing. */
export type RequestRestart = { type: 'RequestRestart' } & RunEventData<'RestartRequested'>

export type RequestForceComplete = { type: 'RequestForceComplete'; outcome: ForcedOutcome; reason: string | null }

/**
 * The monitor's: record the verdict if it has changed, and kill what the policy says must be killed.
 */
export type JudgeRun = {
  type: 'JudgeRun'
  /** Milliseconds since the epoch: when the run was last looked at, its progress read to the end. */
  now: number
  /** The attempt has been recorded: what the policy says must be killed may be. Else only the verdict is recorded. */
  mayKill: boolean
  /** From its heartbeats, for the evidence only. */
  telemetry: Pick<RunState, 'progressPercent' | 'lastHeartbeatAt' | 'lastOutput'>
}

export type Command = RequestRun | RequestKill | RequestRestart | RequestForceComplete | RequestPause | JudgeRun

export type Rejection =
  | { code: 'RunNotFound' }
  /** The run id is taken: by another request, or by another run. */
  | { code: 'RunExists' }
  | { code: 'AlreadyEnded'; status: RunStatus; endedAt: string }
  /** Another outcome was decided on already, and its kill is under way. */
  | { code: 'OtherOutcome'; outcome: ForcedOutcome }
  /** It is being killed, or its root has ended and what it left behind is. */
  | { code: 'Ending' }

export type Decision =
  /** No events: what was asked for is under way already, and this request joins it. */
  { ok: true; events: RunEventBody[] } | { ok: false; rejection: Rejection }

const strength: Record<KillKind, number> = { graceful: 0, force: 1, emergency: 2 }

/** What a command leads to. Pure: the same command on the same state decides the same. */
export function decide(command: Command, state: RunState | undefined): Decision {
  switch (command.type) {
    case 'RequestRun':
      return requestRun(command, state)
    case 'RequestKill':
      return requestKill(command, state)
    case 'RequestRestart':
      return requestRestart(command, state)
    case 'RequestForceComplete':
      return requestForceComplete(command, state)
    case 'RequestPause':
    case 'RequestResume':
      return requestPause(command, state)
    case 'JudgeRun':
      return judgeRun(command, state)
  }
}

function requestRun(command: RequestRun, state: RunState | undefined): Decision {
  if (state !== undefined) {
    const isRetry = command.idempotencyKey !== undefined && command.idempotencyKey === state.idempotencyKey
    return isRetry ? accept() : reject({ code: 'RunExists' })
  }
  const { runId, workflow, host, work, policy, labels, idempotencyKey } = command
  const origin =
    work.kind === 'launch'
      ? { origin: 'launched' as const, launch: work.launch, registered: null }
      : {
          origin: 'registered' as const,
          launch: null,
          registered: { root: work.root, workspacePath: work.workspacePath, launch: work.launch },
        }
  const { workflowVersion, restartOf } = command
  return accept({
    type: 'RunRequested',
    data: { runId, workflow, host, ...origin, policy, labels, idempotencyKey, workflowVersion, restartOf },
  })
}

function requestKill(command: RequestKill, state: RunState | undefined): Decision {
  if (state === undefined) return reject({ code: 'RunNotFound' })
  if (isRetryOf(command, state)) return accept()
  if (isTerminal(state.status)) {
    return reject({ code: 'AlreadyEnded', status: state.status, endedAt: state.endedAt ?? state.requestedAt })
  }
  return accept(...killEvents(command, state))
}

/** None when the kill that is under way will do. */
function killEvents(command: Omit<RequestKill, 'type'>, state: RunState): RunEventBody[] {
  if (joins(command, state)) return []
  const kind = stronger(command.kind, state.kill?.kind)
  return [
    {
      type: 'KillRequested',
      data: {
        kind,
        reason: command.reason,
        graceMs: kind === 'graceful' ? state.policy.graceMs : 0,
        proofDeadlineMs: state.policy.proofDeadlineMs,
        ...(kind === 'graceful' ? { sectionLimits: sectionLimitsOf(state.policy) } : {}),
        idempotencyKey: command.idempotencyKey,
      },
    },
  ]
}

/** However often it is asked for: one new run. A live run is killed first, through the one path. */
function requestRestart(command: RequestRestart, state: RunState | undefined): Decision {
  if (state === undefined) return reject({ code: 'RunNotFound' })
  if (state.restart !== null) return accept()
  const { type: _, ...data } = command
  const kill = isTerminal(state.status) ? [] : killEvents({ kind: 'graceful', reason: command.reason }, state)
  return accept({ type: 'RestartRequested', data }, ...kill)
}

function requestForceComplete(command: RequestForceComplete, state: RunState | undefined): Decision {
  if (state === undefined) return reject({ code: 'RunNotFound' })
  if (isTerminal(state.status)) {
    return reject({ code: 'AlreadyEnded', status: state.status, endedAt: state.endedAt ?? state.requestedAt })
  }
  const { outcome, reason } = command
  if (state.forceComplete !== null) {
    const before = state.forceComplete.outcome
    return before === outcome ? accept() : reject({ code: 'OtherOutcome', outcome: before })
  }
  const kill = killEvents({ kind: 'graceful', reason }, state)
  return accept({ type: 'ForceCompleteRequested', data: { outcome, reason } }, ...kill)
}

/** A run that has not been started yet is stopped as soon as it has. */
function requestPause(command: RequestPause, state: RunState | undefined): Decision {
  if (state === undefined) return reject({ code: 'RunNotFound' })
  if (isTerminal(state.status)) {
    return reject({ code: 'AlreadyEnded', status: state.status, endedAt: state.endedAt ?? state.requestedAt })
  }
  return isEnding(state) ? reject({ code: 'Ending' }) : accept(...pauseEvents(command, state))
}

function judgeRun({ now, mayKill, telemetry }: JudgeRun, state: RunState | undefined): Decision {
  if (state === undefined) return reject({ code: 'RunNotFound' })
  if (isTerminal(state.status)) {
    return reject({ code: 'AlreadyEnded', status: state.status, endedAt: state.endedAt ?? state.requestedAt })
  }
  const seen = { ...state, ...telemetry }
  const limit = mayKill ? limitToKillFor(seen, now) : undefined
  const kill = limit === undefined ? [] : killEvents({ kind: 'graceful', reason: limit.reason }, state)
  return accept(...verdictEvents(seen, now), ...kill)
}

function verdictEvents(state: RunState, now: number): RunEventBody[] {
  const classification = classify(state, now, state.policy)
  const previous = state.classified?.verdict ?? 'NORMAL'
  return classification.verdict === previous ? [] : [{ type: 'RunClassified', data: { ...classification, previous } }]
}

const isRetryOf = (command: RequestKill, state: RunState) =>
  command.idempotencyKey !== undefined && state.kill?.idempotencyKeys.includes(command.idempotencyKey) === true

/** A kill that is no stronger than the one under way. After KILL_UNVERIFIED every request tries again. */
const joins = (command: Pick<RequestKill, 'kind'>, state: RunState) =>
  state.kill !== null && state.status !== 'KILL_UNVERIFIED' && strength[command.kind] <= strength[state.kill.kind]

/** A kill that is tried again goes on at least as hard as before: what a host is asked for never grows weaker. */
const stronger = (kind: KillKind, before: KillKind = 'graceful') => (strength[kind] >= strength[before] ? kind : before)

const accept = (...events: RunEventBody[]): Decision => ({ ok: true, events })
const reject = (rejection: Rejection): Decision => ({ ok: false, rejection })
