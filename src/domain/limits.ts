import type { RunAlertKind } from './alert-events.ts'
import {
  aboutPauses,
  type Classification,
  classify,
  evidenceOf,
  isInitializing,
  verdictOf,
  watchedMs,
} from './classify.ts'
import { duration } from './duration.ts'
import { isHeld } from './pause.ts'
import { survivorsText } from './receipt.ts'
import type { Evidence } from './run-events.ts'
import { isTerminal, type RunState } from './run-state.ts'

/** A limit of its policy that a run has passed, and that the policy says it should be killed for. */
export type PassedLimit = { limit: 'STUCK' | 'TOTAL_TIMEOUT'; reason: string }

/** What holds of a run, and should be known to people. */
export type DueAlert = { kind: RunAlertKind; message: string; evidence: Evidence[] }

/**
 * R16, R17: why the policy says that a live run should be killed now; undefined: it should not. A run that is paused, or
 * that somebody wants to be, is not: its clock stands still, and who paused it wants it to be there.
 * @param now milliseconds since the epoch: when the run was last looked at.
 */
export function limitToKillFor(state: RunState, now: number): PassedLimit | undefined {
  if (isTerminal(state.status) || state.kill !== null || isHeld(state)) return undefined
  const { policy } = state
  if (policy.onStuck === 'kill' && verdictOf(state, now, policy) === 'STUCK') {
    return { limit: 'STUCK', reason: stuckReason(state, classify(state, now, policy)) }
  }
  if (isOverTotalTimeout(state, now) && policy.onTotalTimeout === 'kill') {
    return { limit: 'TOTAL_TIMEOUT', reason: totalTimeoutReason(state, now) }
  }
  return undefined
}

/**
 * Every alert that should be open about the run now; all others about it are over.
 * @param now milliseconds since the epoch: when the run was last looked at.
 */
export function alertsDue(state: RunState, now: number): DueAlert[] {
  if (isTerminal(state.status)) return []
  const age = watchedMs(state, now)
  const isWarned = age !== undefined && isInitializing(state) && age > state.policy.initializationWarningMs
  const isStuck = verdictOf(state, now, state.policy) === 'STUCK'
  const isUnverified = state.status === 'KILL_UNVERIFIED'
  // As a rule, and with a thousand runs every few seconds the words would be most of the work.
  if (!isWarned && !isStuck && !isUnverified && !isOverTotalTimeout(state, now)) return []
  const verdict = classify(state, now, state.policy)
  const { evidence } = verdict
  const due: DueAlert[] = []
  if (isWarned) due.push({ kind: 'INITIALIZATION_WARNING', message: warning(state, age), evidence })
  if (isStuck) due.push({ kind: 'STUCK', message: stuckReason(state, verdict), evidence })
  if (isOverTotalTimeout(state, now)) {
    due.push({
      kind: 'TOTAL_TIMEOUT',
      message: totalTimeoutReason(state, now),
      evidence: evidenceOf(state, now, age ?? 0),
    })
  }
  if (isUnverified) due.push({ kind: 'KILL_UNVERIFIED', message: unverified(state), evidence })
  return due
}

const isOverTotalTimeout = (state: RunState, now: number) => (watchedMs(state, now) ?? 0) > state.policy.totalTimeoutMs

const stuckReason = ({ policy }: RunState, { explanation }: Classification) =>
  `Initialization timeout: ${explanation} (policy ${policy.preset})`

function totalTimeoutReason(state: RunState, now: number): string {
  const { policy } = state
  return `Total timeout: it has run for ${duration(watchedMs(state, now) ?? 0)}; the limit is ${duration(policy.totalTimeoutMs)}.${aboutPauses(state, now)} (policy ${policy.preset})`
}

function warning({ policy }: RunState, age: number): string {
  const then = policy.onStuck === 'kill' ? 'it will be killed' : 'it counts as stuck'
  return `No turn yet after ${duration(age)} in initialization; ${then} at ${duration(policy.stuckAfterMs)}.`
}

function unverified({ runId, receipt }: RunState): string {
  const survivors = receipt === null ? '' : survivorsText(receipt)
  const who = survivors === '' ? 'something of it may still live' : `still there: ${survivors}`
  return `The kill of ${runId} could not be proven; ${who}. It keeps its slot and its workspace; its host goes on looking.`
}
