import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { classify, watchedMs } from '../../../src/domain/classify.ts'
import { alertsDue, limitToKillFor } from '../../../src/domain/limits.ts'
import type { RequestPause } from '../../../src/domain/pause.ts'
import { resolvePolicy } from '../../../src/domain/policy.ts'
import type { RunEventBody } from '../../../src/domain/run-events.ts'
import { phasesOf } from '../../../src/domain/timeline.ts'
import { fold, given, stateAfter } from '../../support/decider-spec.ts'
import {
  event,
  exited,
  killRequested,
  type Place,
  paused,
  pauseRequested,
  placed,
  receipt,
  record,
  requested,
  requestKill,
  resumed,
  resumeRequested,
  sigtermSent,
  started,
  time,
  treeGone,
  turn,
} from '../../support/run-events.ts'

const minutes = 60_000
const request = (type: RequestPause['type'], reason: string | null = null): RequestPause => ({ type, reason })
const [pauseWanted, resumeWanted, stood, wentOn] = [pauseRequested(), resumeRequested(), paused(), resumed()]
const at = (ms: number, body: RunEventBody) => placed({ occurredAt: time(ms) }, body)
const strict = resolvePolicy({ preset: 'strict' })
const live = [requested({ policy: strict }), started({ startedAt: time(0) })]
const pausedRun = [...live, pauseWanted, stood]

describe('to pause and to resume', () => {
  it('is an intent; the status follows what the host has shown', () => {
    const wanted = given(live).when(request('RequestPause', 'a look')).then([pauseWanted])
    expect(wanted).toMatchObject({ status: 'RUNNING', pause: { paused: true, reason: 'a look', revision: 2 } })
    const still = given([...live, pauseWanted])
      .fact(stood)
      .then([stood])
    expect(still?.status).toBe('PAUSED')
    const resuming = given(pausedRun).when(request('RequestResume')).then([resumeWanted])
    expect(resuming).toMatchObject({ status: 'PAUSED', pause: { paused: false, revision: 4 } })
    const again = given([...pausedRun, resumeWanted])
      .fact(wentOn)
      .then([wentOn])
    expect(again?.status).toBe('RUNNING')
  })

  it('twice is once', () => {
    given([...live, pauseWanted])
      .when(request('RequestPause'))
      .then([])
    given(pausedRun).when(request('RequestPause')).then([])
    given([...pausedRun, resumeWanted])
      .when(request('RequestResume'))
      .then([])
    given(live).when(request('RequestResume')).then([])
  })

  it('holds of a run that has not been started yet as soon as it has', () => {
    const waiting = given([requested()]).when(request('RequestPause', 'a look')).then([pauseWanted])
    expect(waiting?.status).toBe('REQUESTED')
  })

  it.each(['RequestPause', 'RequestResume'] as const)(
    '[M8] %s is refused where the end has begun, or is over',
    (type) => {
      given([])
        .when(request(type))
        .then({ rejected: { code: 'RunNotFound' } })
      given([...live, killRequested()])
        .when(request(type))
        .then({ rejected: { code: 'Ending' } })
      given([...live, exited(0)])
        .when(request(type))
        .then({ rejected: { code: 'Ending' } })
      const lost = [...live, at(9_000, event('RunLost', { receipt: receipt() }))]
      given(lost)
        .when(request(type))
        .then({ rejected: { code: 'AlreadyEnded', status: 'LOST', endedAt: time(9_000) } })
    },
  )

  it('[M1] a paused run is killed as any other, and is killed only with a receipt', () => {
    const killing = given(pausedRun)
      .when(requestKill('graceful'))
      .then([killRequested('graceful', { graceMs: 3_000 })])
    expect(killing?.status).toBe('KILLING')
    const letGo = resumed('kill')
    const dying = [...pausedRun, killRequested(), sigtermSent(), letGo]
    expect(stateAfter(dying).status).toBe('KILLING')
    given([...dying, exited(143)])
      .fact(treeGone())
      .then([event('RunKilled', { rootExit: { status: 143, at: time(5_000) }, receipt: receipt() })])
  })

  it('[M8] what its host says too late changes nothing', () => {
    const over = [...live, event('RunLost', { receipt: receipt() })]
    for (const fact of [stood, wentOn]) {
      given(over)
        .fact(fact)
        .then([event('LateResultObserved', { fact: fact.type, data: fact.data, status: 'LOST' })])
    }
    given(live)
      .fact(wentOn)
      .then([event('LateResultObserved', { fact: 'RunResumed', data: wentOn.data, status: 'RUNNING' })])
  })
})

describe('paused time is no age', () => {
  const pausedFrom = (from: number) => [...live, at(from, pauseWanted), at(from, stood)]

  it('neither while it is paused nor afterwards', () => {
    const still = stateAfter(pausedFrom(4 * minutes))
    expect(watchedMs(still, Date.parse(time(90 * minutes)))).toBe(4 * minutes)
    const again = stateAfter([...pausedFrom(4 * minutes), at(60 * minutes, wentOn)])
    expect(watchedMs(again, Date.parse(time(61 * minutes)))).toBe(5 * minutes)
    expect(again.pausedMs).toBe(56 * minutes)
  })

  it('[R15] the verdict says so, with its evidence', () => {
    const still = classify(stateAfter(pausedFrom(4 * minutes)), Date.parse(time(34 * minutes)), strict)
    expect(still).toMatchObject({ verdict: 'NORMAL', rule: 'YOUNG' })
    expect(still.explanation).toBe(
      'No turn yet, 4m after the start; up to 10m is normal. Paused: its clock stands still (for 30m in all).',
    )
    expect(still.evidence).toContainEqual({ fact: 'pausedMs', value: String(30 * minutes) })
    const again = stateAfter([...pausedFrom(4 * minutes), at(34 * minutes, wentOn)])
    expect(classify(again, Date.parse(time(35 * minutes)), strict).explanation).toMatch(
      /Paused for 30m in all, which is no age\.$/,
    )
  })

  it('[R15] not for the first turn either', () => {
    const late = stateAfter([...pausedFrom(4 * minutes), at(60 * minutes, wentOn), at(65 * minutes, turn(1))])
    expect(classify(late, Date.parse(time(90 * minutes)), strict)).toMatchObject({ verdict: 'NORMAL' })
    const read = stateAfter([...pausedFrom(4 * minutes), at(60 * minutes, turn(1)), at(61 * minutes, wentOn)])
    expect(classify(read, Date.parse(time(90 * minutes)), strict).rule).toBe('FIRST_TURN_IN_TIME')
  })

  it('[R16] [R17] no limit is passed, no warning is due, and nothing is killed meanwhile', () => {
    const still = stateAfter(pausedFrom(2 * minutes))
    const later = Date.parse(time(48 * 60 * minutes))
    expect(alertsDue(still, later)).toEqual([])
    expect(limitToKillFor(still, later)).toBeUndefined()
    const past = stateAfter(pausedFrom(6 * minutes))
    expect(limitToKillFor(past, later)).toBeUndefined()
    const wanted = stateAfter([...live, pauseWanted])
    expect(limitToKillFor(wanted, later)).toBeUndefined()
    const again = stateAfter([...pausedFrom(6 * minutes), at(60 * minutes, resumeWanted), at(60 * minutes, wentOn)])
    expect(limitToKillFor(again, Date.parse(time(60 * minutes)))?.limit).toBe('STUCK')
  })

  it('stops for good at the end', () => {
    const ended = stateAfter([...pausedFrom(4 * minutes), at(9 * minutes, event('RunLost', { receipt: receipt() }))])
    expect(ended.pausedMs).toBe(5 * minutes)
    expect(watchedMs(ended, Date.parse(time(90 * minutes)))).toBe(4 * minutes)
  })

  it('a gap in the sampling and a pause are not taken off twice', () => {
    const gap = (ms: number) => event('SamplingInterrupted', { gapMs: ms, cause: 'agent-down' })
    const within = stateAfter([...pausedFrom(4 * minutes), at(50 * minutes, gap(40 * minutes))])
    expect(within.unsampledMs).toBe(0)
    const told = stateAfter([...pausedFrom(4 * minutes), at(30 * minutes, wentOn), at(40 * minutes, gap(20 * minutes))])
    expect(told.unsampledMs).toBe(10 * minutes)
    const before = stateAfter([...pausedFrom(40 * minutes), at(41 * minutes, gap(35 * minutes))])
    expect(before.unsampledMs).toBe(34 * minutes)
    const setBack = stateAfter([...pausedFrom(4 * minutes), at(5 * minutes, gap(-60 * minutes))])
    expect(setBack.unsampledMs).toBe(0)
  })

  it('never makes a run older than it is, nor younger than what was neither paused nor unsampled', () => {
    type Move = { kind: 'pause' | 'resume' | 'gap'; afterMs: number }
    const moves = fc.array(
      fc.record({
        kind: fc.constantFrom('pause', 'resume', 'gap'),
        afterMs: fc.integer({ min: 1, max: 60 * minutes }),
      }),
      { maxLength: 20 },
    )
    fc.assert(
      fc.property(moves as fc.Arbitrary<Move[]>, (all) => {
        const history: (RunEventBody & Place)[] = [...live]
        let [now, worked, still] = [0, 0, false]
        for (const { kind, afterMs } of all) {
          now += afterMs
          // A gap is as long as what lies between it and what was before it.
          if (kind === 'gap')
            history.push(at(now, event('SamplingInterrupted', { gapMs: afterMs, cause: 'suspended' })))
          else if (!still) worked += afterMs
          if (kind === 'pause') history.push(at(now, stood))
          if (kind === 'resume') history.push(at(now, wentOn))
          if (kind !== 'gap') still = kind === 'pause'
        }
        expect(watchedMs(stateAfter(history), Date.parse(time(now)))).toBe(worked)
      }),
    )
  })
})

it('[R24] the timeline shows when it stood still', () => {
  const history = [
    ...live,
    at(5_000, pauseWanted),
    at(6_000, stood),
    at(7_000, event('PhaseChanged', { phase: 'build' })),
    at(9_000, wentOn),
  ]
  expect(phasesOf(record(history))).toEqual([
    { kind: 'WAITING', name: null, from: time(0), to: time(0) },
    { kind: 'WORKING', name: 'initialization', from: time(0), to: time(6_000) },
    { kind: 'PAUSED', name: null, from: time(6_000), to: time(9_000) },
    { kind: 'WORKING', name: 'build', from: time(9_000), to: null },
  ])
  expect(fold(history)?.status).toBe('RUNNING')
})
