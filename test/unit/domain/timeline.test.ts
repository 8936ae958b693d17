import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RunEventBody } from '../../../src/domain/run-events.ts'
import { phasesOf } from '../../../src/domain/timeline.ts'
import { eventBody } from '../../support/run-arbitraries.ts'
import {
  event,
  exited,
  killRequested,
  type Place,
  phase,
  receipt,
  record,
  requested,
  root,
  runId,
  sigkillSent,
  sigtermSent,
  started,
  time,
  turn,
  unproven,
} from '../../support/run-events.ts'

const at = (ms: number, body: RunEventBody): RunEventBody & Place => ({ ...body, occurredAt: time(ms) })
const exitedAt = (ms: number) => event('ProcessExited', { status: 143, at: time(ms) })
const goneAt = (ms: number) => receipt({ timings: { requestedAt: time(0), emptyAt: time(ms), provenAt: time(ms) } })
const cleaned = event('RunCleaned', { failedSteps: [] })

/** Each phase in short: its kind (of work: its name), from and to in milliseconds. */
const brief = (...history: (RunEventBody & Place)[]) =>
  phasesOf(record(history)).map(({ kind, name, from, to }) => [name ?? kind, ms(from), to === null ? null : ms(to)])
const ms = (iso: string) => Date.parse(iso) - Date.parse(time(0))

describe('[R24] how long what took', () => {
  const working = [
    at(0, requested()),
    at(120, started({ startedAt: time(100) })),
    at(5_000, phase('build')),
    at(6_000, turn(1)),
  ]
  const killed = [
    ...working,
    at(10_000, killRequested()),
    at(10_010, sigtermSent()),
    at(10_500, phase('saving')),
    at(11_000, exitedAt(10_900)),
    at(13_010, sigkillSent()),
    at(13_100, event('RunKilled', { rootExit: null, receipt: goneAt(13_050) })),
  ]

  it('a graceful kill of a run that ignores SIGTERM', () => {
    expect(brief(...killed, at(13_200, cleaned))).toEqual([
      ['WAITING', 0, 100],
      ['initialization', 100, 5_000],
      ['build', 5_000, 10_500],
      ['KILL_REQUESTED', 10_000, 10_010],
      ['TERMINATING', 10_010, 13_010],
      ['saving', 10_500, 10_900],
      ['KILLING', 13_010, 13_050],
      ['VERIFYING', 13_050, 13_100],
      ['CLEANING', 13_100, 13_200],
    ])
  })

  it('what goes on has no end yet', () => {
    expect(brief(at(0, requested()))).toEqual([['WAITING', 0, null]])
    expect(brief(...working).at(-1)).toEqual(['build', 5_000, null])
    expect(brief(...working, at(10_000, killRequested())).slice(-2)).toEqual([
      ['build', 5_000, null],
      ['KILL_REQUESTED', 10_000, null],
    ])
    expect(brief(...killed).at(-1)).toEqual(['CLEANING', 13_100, null])
  })

  it('a run that never started: it waited, and was tidied up', () => {
    const failed = event('RunFailed', { reason: 'LAUNCH_FAILED', message: 'no', rootExit: null, receipt: null })
    expect(brief(at(0, requested()), at(50, failed), at(60, cleaned))).toEqual([
      ['WAITING', 0, 50],
      ['CLEANING', 50, 60],
    ])
    const beforeLaunch = event('RunKilled', { rootExit: null, receipt: receipt({ root: null }) })
    expect(brief(at(0, requested()), at(500, killRequested()), at(510, beforeLaunch))).toEqual([
      ['WAITING', 0, 510],
      ['KILL_REQUESTED', 500, 510],
      ['CLEANING', 510, null],
    ])
  })

  it('a registered process began before it was registered', () => {
    const registered = requested({ origin: 'registered', launch: null, registered: { root, workspacePath: null } })
    expect(brief(at(60_000, registered), at(60_040, started({ startedAt: time(100), shim: null })))).toEqual([
      ['initialization', 100, null],
      ['WAITING', 60_000, 60_040],
    ])
  })

  it('a natural end, whose leftovers are killed', () => {
    const completed = event('RunCompleted', { rootExit: { status: 0, at: time(8_000) }, receipt: goneAt(9_100) })
    const ended = [...working, at(8_010, event('ProcessExited', { status: 0, at: time(8_000) }))]
    const leftovers = [at(8_050, sigtermSent('leftovers')), at(9_050, sigkillSent('leftovers'))]
    expect(brief(...ended, ...leftovers, at(9_150, completed)).slice(2)).toEqual([
      ['build', 5_000, 8_000],
      ['VERIFYING', 8_000, 8_050],
      ['TERMINATING', 8_050, 9_050],
      ['KILLING', 9_050, 9_100],
      ['VERIFYING', 9_100, 9_150],
      ['CLEANING', 9_150, null],
    ])
    expect(brief(...ended, at(8_100, completed)).slice(2)).toEqual([
      ['build', 5_000, 8_000],
      ['VERIFYING', 8_000, 8_100],
      ['CLEANING', 8_100, null],
    ])
  })

  it('a kill that cannot be proven looks for proof until it is there; asked for anew, it begins anew', () => {
    const unverified = [
      ...working,
      at(10_000, killRequested('force')),
      at(10_010, sigkillSent()),
      at(15_000, event('KillUnverified', { receipt: unproven() })),
    ]
    expect(brief(...unverified).slice(3)).toEqual([
      ['KILL_REQUESTED', 10_000, 10_010],
      ['KILLING', 10_010, 15_000],
      ['VERIFYING', 15_000, null],
    ])
    const proven = event('RunKilled', { rootExit: null, receipt: goneAt(20_000) })
    expect(brief(...unverified, at(18_000, killRequested('force')), at(20_010, proven)).slice(5)).toEqual([
      ['VERIFYING', 15_000, 18_000],
      ['KILL_REQUESTED', 18_000, 20_000],
      ['VERIFYING', 20_000, 20_010],
      ['CLEANING', 20_010, null],
    ])
  })

  it('[M8] what came late makes no phase and moves none', () => {
    const done = [...killed, at(13_200, cleaned)]
    const lateFacts: RunEventBody[] = [
      event('LateResultObserved', { fact: 'TurnCompleted', data: { turn: 7 }, status: 'KILLED' }),
      // Not even where somebody appended it as itself.
      phase('build'),
      exited(0),
      sigkillSent(),
      started({ attempt: 2 }),
    ]
    expect(brief(...done, ...lateFacts.map((body) => at(20_000, body)))).toEqual(brief(...done))
  })

  it('of any history: nothing ends before it began, and an end that is cleaned up leaves nothing open', () => {
    const times = fc.array(fc.integer({ min: 0, max: 100_000 }), { minLength: 26, maxLength: 26 })
    fc.assert(
      fc.property(fc.array(eventBody, { maxLength: 25 }), times, (bodies, when) => {
        const proof = event('RunKilled', { rootExit: null, receipt: receipt({ runId }) })
        const history = record([requested(), ...bodies].map((body, index) => at(when[index] ?? 0, body)))
        const phases = phasesOf(history)
        expect(phases[0]).toBeDefined()
        for (const { from, to } of phases)
          if (to !== null) expect(Date.parse(to)).toBeGreaterThanOrEqual(Date.parse(from))
        expect(phases.filter(({ to }) => to === null).length).toBeLessThanOrEqual(2)
        expect(phases.map(({ from }) => from)).toEqual(phases.map(({ from }) => from).toSorted())
        const ended = phasesOf(
          record([requested(), ...bodies.filter(({ type }) => type !== 'RunStarted'), proof, cleaned]),
        )
        expect(ended.filter(({ to }) => to === null)).toEqual([])
      }),
      { numRuns: 300 },
    )
  })
})
