import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { classify } from '../../../src/domain/classify.ts'
import { duration } from '../../../src/domain/duration.ts'
import { resolvePolicy, standardPolicy } from '../../../src/domain/policy.ts'
import type { Verdict } from '../../../src/domain/run-events.ts'
import { stateAfter } from '../../support/decider-spec.ts'
import {
  event,
  killRequested,
  launchFailed,
  phase,
  placed,
  receipt,
  requested,
  started,
  time,
  turn,
} from '../../support/run-events.ts'

const minutes = 60_000
const startMs = 1_000
const start = started({ startedAt: time(startMs) })
/** Milliseconds since the epoch, `ms` after the start. */
const sinceStart = (ms: number) => Date.parse(time(startMs + ms))
const turnAt = (ms: number, number = 1) => placed({ occurredAt: time(startMs + ms) }, turn(number))
const waiting = stateAfter([requested(), start])
const building = stateAfter([requested(), start, phase('build')])

describe('[R15] without a turn', () => {
  it.each<[string, number, Verdict, string]>([
    ['at the start', 0, 'NORMAL', 'YOUNG'],
    ['just before 10 min', 10 * minutes - 1, 'NORMAL', 'YOUNG'],
    ['at 10 min', 10 * minutes, 'NORMAL', 'YOUNG'],
    ['just after 10 min', 10 * minutes + 1, 'SLOW', 'OVERDUE'],
    ['just before 30 min', 30 * minutes - 1, 'SLOW', 'OVERDUE'],
    ['at 30 min', 30 * minutes, 'SLOW', 'OVERDUE'],
    ['just after 30 min', 30 * minutes + 1, 'STUCK', 'STUCK_IN_INITIALIZATION'],
    ['after two days', 48 * 60 * minutes, 'STUCK', 'STUCK_IN_INITIALIZATION'],
  ])('in initialization, %s', (_, age, verdict, rule) => {
    expect(classify(waiting, sinceStart(age), standardPolicy)).toMatchObject({ verdict, rule })
  })

  it.each<[number, Verdict]>([
    [10 * minutes, 'NORMAL'],
    [10 * minutes + 1, 'SLOW'],
    [30 * minutes + 1, 'SLOW'],
    [48 * 60 * minutes, 'SLOW'],
  ])('in another phase, after %i ms', (age, verdict) => {
    expect(classify(building, sinceStart(age), standardPolicy).verdict).toBe(verdict)
  })

  it('is judged by the phase it is in now', () => {
    const back = stateAfter([requested(), start, phase('build'), phase('initialization')])
    expect(classify(back, sinceStart(30 * minutes + 1), standardPolicy).verdict).toBe('STUCK')
  })

  it('a run that has not started is no older for waiting', () => {
    const verdict = classify(stateAfter([requested()]), sinceStart(48 * 60 * minutes), standardPolicy)
    expect(verdict).toMatchObject({
      verdict: 'NORMAL',
      rule: 'WAITING',
      explanation: 'The run has not been started yet.',
    })
  })

  it('progress and heartbeats are no turns', () => {
    const noisy = stateAfter([
      requested(),
      start,
      event('HeartbeatRecorded', { progressPercent: 90, lastOutput: 'hi' }),
    ])
    const verdict = classify(noisy, sinceStart(30 * minutes + 1), standardPolicy)
    expect(verdict.verdict).toBe('STUCK')
    expect(verdict.evidence).toEqual([
      { fact: 'turns', value: '0' },
      { fact: 'phase', value: 'initialization' },
      { fact: 'clockMs', value: '1800001' },
      { fact: 'progressPercent', value: '90' },
      { fact: 'lastHeartbeatAt', value: time(2_000) },
      { fact: 'lastOutput', value: 'hi' },
    ])
  })

  it('a clock of the host that is ahead of ours makes nobody old', () => {
    expect(classify(waiting, sinceStart(-5 * minutes), standardPolicy)).toMatchObject({
      verdict: 'NORMAL',
      rule: 'YOUNG',
    })
  })
})

describe('[R15] with turns', () => {
  it.each<[number, Verdict, string]>([
    [10 * minutes - 1, 'NORMAL', 'FIRST_TURN_IN_TIME'],
    [10 * minutes, 'NORMAL', 'FIRST_TURN_IN_TIME'],
    [10 * minutes + 1, 'SLOW', 'FIRST_TURN_LATE'],
    [31 * minutes, 'SLOW', 'FIRST_TURN_LATE'],
  ])('the first turn after %i ms decides, for as long as the run lasts', (age, verdict, rule) => {
    const state = stateAfter([requested(), start, turnAt(age), turnAt(age + 40 * minutes, 2)])
    expect(classify(state, sinceStart(48 * 60 * minutes), standardPolicy)).toMatchObject({ verdict, rule })
  })

  it('a run with a turn is never STUCK, also when it calls its phase initialization', () => {
    const state = stateAfter([requested(), start, turnAt(minutes)])
    expect(classify(state, sinceStart(31 * minutes), standardPolicy).verdict).toBe('NORMAL')
  })
})

describe('[R15] once ended', () => {
  it.each<[number, Verdict]>([
    [9 * minutes, 'NORMAL'],
    [11 * minutes, 'SLOW'],
    [31 * minutes, 'STUCK'],
  ])('the clock stands still at the end: %i ms', (age, verdict) => {
    const end = placed({ occurredAt: time(startMs + age) }, event('RunLost', { receipt: receipt() }))
    const state = stateAfter([requested(), start, end])
    expect(classify(state, sinceStart(48 * 60 * minutes), standardPolicy).verdict).toBe(verdict)
  })

  it('a run that ended before it was started is not said to be waiting', () => {
    const failed = event('RunFailed', {
      reason: 'LAUNCH_FAILED',
      ...launchFailed().data,
      rootExit: null,
      receipt: null,
    })
    const verdict = classify(stateAfter([requested(), failed]), sinceStart(0), standardPolicy)
    expect(verdict).toMatchObject({ verdict: 'NORMAL', explanation: 'The run ended before it was started.' })
  })
})

describe('[R15] [R17] by policy', () => {
  it('takes its limits from the policy', () => {
    const strict = resolvePolicy({ slowAfterMs: 1_000, stuckAfterMs: 2_000 })
    const verdicts = [1_000, 1_001, 2_000, 2_001].map((age) => classify(waiting, sinceStart(age), strict).verdict)
    expect(verdicts).toEqual(['NORMAL', 'SLOW', 'SLOW', 'STUCK'])
  })

  it('a stuck limit below the slow limit holds', () => {
    const strict = resolvePolicy({ stuckAfterMs: 5 * minutes })
    expect(classify(waiting, sinceStart(5 * minutes), strict).verdict).toBe('NORMAL')
    expect(classify(waiting, sinceStart(5 * minutes + 1), strict).verdict).toBe('STUCK')
  })

  it('gives the same verdict while a kill is under way', () => {
    const state = stateAfter([requested(), start, killRequested()])
    expect(classify(state, sinceStart(31 * minutes), standardPolicy).verdict).toBe('STUCK')
  })
})

it('[R15] is total: one verdict for every age, turn and phase, as the table says', () => {
  const cases = fc.record({
    age: fc.integer({ min: -minutes, max: 60 * minutes }),
    firstTurn: fc.option(fc.integer({ min: 0, max: 60 * minutes }), { nil: null }),
    name: fc.constantFrom('initialization', 'build'),
  })
  fc.assert(
    fc.property(cases, ({ age, firstTurn, name }) => {
      const turns = firstTurn === null ? [] : [turnAt(firstTurn)]
      const state = stateAfter([requested(), start, phase(name), ...turns])
      const clock = firstTurn ?? age
      const slow: Verdict = clock <= 10 * minutes ? 'NORMAL' : 'SLOW'
      const stuck = firstTurn === null && age > 30 * minutes && name === 'initialization'
      expect(classify(state, sinceStart(age), standardPolicy).verdict).toBe(stuck ? 'STUCK' : slow)
    }),
    { numRuns: 300 },
  )
})

it.each([
  [-5, '0ms'],
  [0, '0ms'],
  [999, '999ms'],
  [999.6, '1s'],
  [61_000, '1m 1s'],
  [3_600_000, '1h'],
  [3_605_000, '1h'],
  [30 * minutes + 1, '30m'],
  [2 * 86_400_000 + 3 * 3_600_000 + 59_000, '2d 3h'],
])('writes %d ms as %s', (ms, text) => {
  expect(duration(ms)).toBe(text)
})
