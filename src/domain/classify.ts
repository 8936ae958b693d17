import { duration } from './duration.ts'
import { type Pausing, pausedMsAt, standsStill } from './pause.ts'
import type { Policy } from './policy.ts'
import type { Evidence, Verdict } from './run-events.ts'
import type { RunState } from './run-state.ts'

export type Classification = {
  verdict: Verdict
  /** Which line of R15 decided. */
  rule: 'WAITING' | 'FIRST_TURN_IN_TIME' | 'FIRST_TURN_LATE' | 'YOUNG' | 'OVERDUE' | 'STUCK_IN_INITIALIZATION'
  /** For people: one sentence. */
  explanation: string
  evidence: Evidence[]
}

/** The parts of a run's state that its age rests on. */
export type AgedState = Pick<RunState, 'origin' | 'requestedAt' | 'startedAt' | 'endedAt' | 'unsampledMs'> &
  Pick<Pausing, 'lastPause' | 'pausedMs'>

/** The parts of a run's state that its verdict rests on. */
export type ClassifiedState = AgedState &
  Pick<
    RunState,
    | 'turns'
    | 'firstTurnAt'
    | 'unsampledBeforeFirstTurnMs'
    | 'pausedBeforeFirstTurnMs'
    | 'phase'
    | 'progressPercent'
    | 'lastHeartbeatAt'
    | 'lastOutput'
  >

/**
 * For how long a run has been watched, in milliseconds: since it started, less what nobody sampled, less its pauses. A
 * process that was registered is only watched since then. The clock stands still at the end; undefined before the start.
 * @param now milliseconds since the epoch.
 */
export function watchedMs(state: AgedState, now: number): number | undefined {
  const start = watchedSince(state)
  if (start === undefined) return undefined
  const until = state.endedAt === null ? now : Date.parse(state.endedAt)
  return until - start - state.unsampledMs - pausedMsAt(state, until)
}

function watchedSince({ origin, startedAt, requestedAt }: AgedState): number | undefined {
  if (startedAt === null) return undefined
  return origin === 'registered' ? Math.max(Date.parse(startedAt), Date.parse(requestedAt)) : Date.parse(startedAt)
}

/** The run has not said that it is past its beginning. */
export const isInitializing = ({ phase, turns }: Pick<RunState, 'phase' | 'turns'>) =>
  turns === 0 && phase.trim().toLowerCase() === 'initialization'

/**
 * R15, made total. The clock runs from the start (0 turns), or from the start to the first turn.
 * @param now milliseconds since the epoch.
 */
export function classify(state: ClassifiedState, now: number, policy: Policy): Classification {
  const { verdict, rule, clockMs, explain } = rulingOf(state, now, policy)
  const explanation = `${explain()}${aboutPauses(state, now)}`
  return { verdict, rule, explanation, evidence: evidenceOf(state, now, clockMs) }
}

/** The verdict of `classify`, without the words: those cost ten times as much, and are seldom asked for. */
export const verdictOf = (state: ClassifiedState, now: number, policy: Policy): Verdict =>
  rulingOf(state, now, policy).verdict

function rulingOf(state: ClassifiedState, now: number, policy: Policy): Ruling {
  const age = watchedMs(state, now)
  if (age === undefined) return { verdict: 'NORMAL', rule: 'WAITING', clockMs: 0, explain: () => whyNoAge(state) }
  const untilFirstTurn = firstTurnMs(state)
  return untilFirstTurn === undefined ? withoutTurn(state, age, policy) : byFirstTurn(untilFirstTurn, policy)
}

const whyNoAge = ({ endedAt }: ClassifiedState) =>
  endedAt === null ? 'The run has not been started yet.' : 'The run ended before it was started.'

/** Watched time from the start to the first turn. */
function firstTurnMs(state: ClassifiedState): number | undefined {
  const start = watchedSince(state)
  if (start === undefined || state.firstTurnAt === null) return undefined
  return Date.parse(state.firstTurnAt) - start - state.unsampledBeforeFirstTurnMs - state.pausedBeforeFirstTurnMs
}

type Ruling = Pick<Classification, 'verdict' | 'rule'> & { clockMs: number; explain: () => string }

function byFirstTurn(clockMs: number, policy: Policy): Ruling {
  const took = () => duration(clockMs)
  if (clockMs <= policy.slowAfterMs) {
    const explain = () => `The first turn came after ${took()}.`
    return { verdict: 'NORMAL', rule: 'FIRST_TURN_IN_TIME', clockMs, explain }
  }
  const explain = () => `The first turn came only after ${took()}; since then the run progresses through turns.`
  return { verdict: 'SLOW', rule: 'FIRST_TURN_LATE', clockMs, explain }
}

function withoutTurn(state: ClassifiedState, clockMs: number, policy: Policy): Ruling {
  if (clockMs > policy.stuckAfterMs && isInitializing(state)) {
    const explain = () =>
      `${duration(clockMs)} in initialization with 0 turns; the limit is ${duration(policy.stuckAfterMs)}.`
    return { verdict: 'STUCK', rule: 'STUCK_IN_INITIALIZATION', clockMs, explain }
  }
  const explain = () =>
    `No turn yet, ${duration(clockMs)} after the start; up to ${duration(policy.slowAfterMs)} is normal.`
  return clockMs <= policy.slowAfterMs
    ? { verdict: 'NORMAL', rule: 'YOUNG', clockMs, explain }
    : { verdict: 'SLOW', rule: 'OVERDUE', clockMs, explain }
}

/** How pauses count: not at all. */
export function aboutPauses(state: AgedState, now: number): string {
  if (standsStill(state)) return ` Paused: its clock stands still (for ${duration(pausedMsAt(state, now))} in all).`
  return state.pausedMs === 0 ? '' : ` Paused for ${duration(state.pausedMs)} in all, which is no age.`
}

/** What speaks for a verdict, as people read it. */
export function evidenceOf(state: ClassifiedState, now: number, clockMs: number): Evidence[] {
  const pausedMs = pausedMsAt(state, state.endedAt === null ? now : Date.parse(state.endedAt))
  return [
    { fact: 'turns', value: String(state.turns) },
    { fact: 'phase', value: state.phase },
    { fact: 'clockMs', value: String(clockMs) },
    ...(state.unsampledMs === 0 ? [] : [{ fact: 'unsampledMs', value: String(state.unsampledMs) }]),
    ...(pausedMs === 0 ? [] : [{ fact: 'pausedMs', value: String(pausedMs) }]),
    ...(state.progressPercent === null ? [] : [{ fact: 'progressPercent', value: String(state.progressPercent) }]),
    ...(state.lastHeartbeatAt === null ? [] : [{ fact: 'lastHeartbeatAt', value: state.lastHeartbeatAt }]),
    ...(state.lastOutput === null ? [] : [{ fact: 'lastOutput', value: state.lastOutput }]),
  ]
}
