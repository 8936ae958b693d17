import type { Policy } from './policy.ts'
import type { RunState } from './run-state.ts'

export const verdicts = ['NORMAL', 'SLOW', 'STUCK'] as const
export type Verdict = (typeof verdicts)[number]

export type Evidence = { fact: string; value: string }

export type Classification = {
  verdict: Verdict
  /** Which line of R15 decided. */
  rule: 'WAITING' | 'FIRST_TURN_IN_TIME' | 'FIRST_TURN_LATE' | 'YOUNG' | 'OVERDUE' | 'STUCK_IN_INITIALIZATION'
  /** For people: one sentence. */
  explanation: string
  evidence: Evidence[]
}

/** The parts of a run's state that its verdict rests on. */
export type ClassifiedState = Pick<
  RunState,
  | 'status'
  | 'startedAt'
  | 'endedAt'
  | 'turns'
  | 'firstTurnAt'
  | 'phase'
  | 'progressPercent'
  | 'lastHeartbeatAt'
  | 'lastOutput'
>

/**
 * R15, made total. The clock runs from the start (0 turns), or from the start to the first turn.
 * @param now milliseconds since the epoch.
 */
export function classify(state: ClassifiedState, now: number, policy: Policy): Classification {
  if (state.startedAt === null) {
    const explanation =
      state.endedAt === null ? 'The run has not been started yet.' : 'The run ended before it was started.'
    return verdict('NORMAL', 'WAITING', explanation, state, 0)
  }
  const start = Date.parse(state.startedAt)
  if (state.firstTurnAt !== null) {
    const untilFirstTurn = Date.parse(state.firstTurnAt) - start
    return untilFirstTurn <= policy.slowAfterMs
      ? verdict(
          'NORMAL',
          'FIRST_TURN_IN_TIME',
          `The first turn came after ${duration(untilFirstTurn)}.`,
          state,
          untilFirstTurn,
        )
      : verdict(
          'SLOW',
          'FIRST_TURN_LATE',
          `The first turn came only after ${duration(untilFirstTurn)}; since then the run progresses through turns.`,
          state,
          untilFirstTurn,
        )
  }
  const age = (state.endedAt === null ? now : Date.parse(state.endedAt)) - start
  if (age > policy.stuckAfterMs && state.phase === 'initialization') {
    return verdict(
      'STUCK',
      'STUCK_IN_INITIALIZATION',
      `${duration(age)} in initialization with 0 turns; the limit is ${duration(policy.stuckAfterMs)}.`,
      state,
      age,
    )
  }
  if (age <= policy.slowAfterMs) {
    return verdict(
      'NORMAL',
      'YOUNG',
      `No turn yet, ${duration(age)} after the start; up to ${duration(policy.slowAfterMs)} is normal.`,
      state,
      age,
    )
  }
  return verdict(
    'SLOW',
    'OVERDUE',
    `No turn yet, ${duration(age)} after the start; up to ${duration(policy.slowAfterMs)} is normal.`,
    state,
    age,
  )
}

function verdict(
  name: Verdict,
  rule: Classification['rule'],
  explanation: string,
  state: ClassifiedState,
  clockMs: number,
): Classification {
  return { verdict: name, rule, explanation, evidence: evidenceOf(state, clockMs) }
}

function evidenceOf(state: ClassifiedState, clockMs: number): Evidence[] {
  return [
    { fact: 'turns', value: String(state.turns) },
    { fact: 'phase', value: state.phase },
    { fact: 'clockMs', value: String(clockMs) },
    ...(state.progressPercent === null ? [] : [{ fact: 'progressPercent', value: String(state.progressPercent) }]),
    ...(state.lastHeartbeatAt === null ? [] : [{ fact: 'lastHeartbeatAt', value: state.lastHeartbeatAt }]),
    ...(state.lastOutput === null ? [] : [{ fact: 'lastOutput', value: state.lastOutput }]),
  ]
}

/** `2d 3h`, `41m 7s`, `812ms`: the two largest units. */
export function duration(ms: number): string {
  const whole = Math.max(0, Math.round(ms))
  if (whole < 1000) return `${whole}ms`
  const seconds = Math.floor(whole / 1000)
  const parts = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ] as const
  const first = parts.findIndex(([count]) => count > 0)
  return parts
    .slice(first, first + 2)
    .filter(([count], index) => index === 0 || count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join(' ')
}
