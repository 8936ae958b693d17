import { canFollow } from './can-follow.ts'
import type { FactBody } from './host-link.ts'
import { outOfMemoryText } from './out-of-memory.ts'
import type { RunEventBody } from './run-events.ts'
import type { RunState } from './run-state.ts'

type EmergencyRequest = Extract<FactBody, { type: 'EmergencyKillRequested' }>['data']

/**
 * The event that a host's fact becomes. Never a rejection: what happened has happened, and a fact that no longer fits
 * is kept as LateResultObserved, so that a run that has ended stays ended.
 * @param state undefined when the fact's run was never requested in this store.
 */
export function absorb(fact: FactBody, state: RunState | undefined): RunEventBody {
  if (state === undefined) return late(fact, state)
  const event = eventOf(fact, state)
  return canFollow(event, state) ? event : late(fact, state)
}

function eventOf(fact: FactBody, state: RunState): RunEventBody {
  switch (fact.type) {
    case 'LaunchFailed':
      return launchFailed(fact.data, state)
    case 'TreeGone':
      return treeGone(fact, state)
    case 'EmergencyKillRequested':
      return emergencyKill(fact.data)
    case 'TreeNotProven':
      return { type: 'KillUnverified', data: { receipt: fact.data.receipt } }
    default:
      return fact
  }
}

function late(fact: FactBody, state: RunState | undefined): RunEventBody {
  return {
    type: 'LateResultObserved',
    data: { fact: fact.type, data: fact.data, status: state?.status ?? 'UNKNOWN' },
  }
}

/** As a kill that was asked for here: its host has seen to it that it is the strongest there is. */
function emergencyKill({ reason, proofDeadlineMs, idempotencyKey }: EmergencyRequest): RunEventBody {
  return { type: 'KillRequested', data: { kind: 'emergency', reason, graceMs: 0, proofDeadlineMs, idempotencyKey } }
}

function launchFailed(data: { code: string; message: string }, state: RunState): RunEventBody {
  return {
    type: 'RunFailed',
    data: {
      reason: 'LAUNCH_FAILED',
      message: data.message,
      code: data.code,
      rootExit: state.rootExit,
      receipt: null,
    },
  }
}

/** The one place where an end gets its name; each of them rests on a proven receipt. */
function treeGone(fact: Extract<FactBody, { type: 'TreeGone' }>, state: RunState): RunEventBody {
  const { receipt } = fact.data
  const rootExit = state.rootExit === null ? null : { status: state.rootExit.status, at: state.rootExit.at }
  if (state.rootExit?.beforeFirstSignal) return ownOutcome(state.rootExit.status, state, fact)
  const stoppedByUs = state.firstSignalAt !== null
  const killedBeforeLaunch = state.kill !== null && state.root === null && receipt.root === null
  const ended = stoppedByUs || killedBeforeLaunch
  if (ended && state.forceComplete !== null) {
    return { type: 'RunForceCompleted', data: { outcome: state.forceComplete.outcome, rootExit, receipt } }
  }
  if (ended) return { type: 'RunKilled', data: { rootExit, receipt } }
  return { type: 'RunLost', data: { receipt } }
}

/** The root ended before anybody signalled it: what it said stands. */
function ownOutcome(
  status: number | null,
  state: RunState,
  fact: Extract<FactBody, { type: 'TreeGone' }>,
): RunEventBody {
  const { receipt } = fact.data
  const rootExit = state.rootExit === null ? null : { status: state.rootExit.status, at: state.rootExit.at }
  if (status === null) return { type: 'RunLost', data: { receipt } }
  if (status === 0) return { type: 'RunCompleted', data: { rootExit, receipt } }
  return {
    type: 'RunFailed',
    data: { reason: 'EXIT_STATUS', message: exitMessage(status, state), rootExit, receipt },
  }
}

/** A shell cannot tell `exit 137` from death by signal 9, so neither is claimed. */
function exitMessage(status: number, { outOfMemory }: RunState): string {
  const signal = status > 128 ? ` (signal ${status - 128}, or an exit status of that number)` : ''
  const memory = outOfMemory === null ? '' : ` Out of memory: ${outOfMemoryText(outOfMemory)}.`
  return `The root process ended with status ${status}${signal}.${memory}`
}
