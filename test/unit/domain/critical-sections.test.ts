import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { absorb } from '../../../src/domain/absorb.ts'
import {
  deferredUntil,
  openSectionsMax,
  sectionKinds,
  sectionLimitsOf,
  sectionsText,
} from '../../../src/domain/critical-section.ts'
import { resolvePolicy, standardPolicy } from '../../../src/domain/policy.ts'
import { safeToKill } from '../../../src/domain/safe-to-kill.ts'
import { summarise } from '../../../src/domain/summary.ts'
import { phasesOf } from '../../../src/domain/timeline.ts'
import { given, stateAfter } from '../../support/decider-spec.ts'
import { factBody } from '../../support/run-arbitraries.ts'
import {
  entered,
  event,
  killDeferred,
  killRequested,
  left,
  placed,
  receipt,
  record,
  requested,
  requestKill,
  sigkillSent,
  sigtermSent,
  started,
  time,
} from '../../support/run-events.ts'

const live = [requested(), started()]
const graceful = { kind: 'graceful', firstSignalAt: null, status: 'KILLING' }
const at = (ms: number) => Date.parse(time(ms))

describe('the limits', () => {
  it('[R7] are those of the request, and none is beyond the limit for all', () => {
    expect(sectionLimitsOf(standardPolicy)).toEqual({
      ...{ git_operations: 30_000, database_transactions: 15_000, file_operations: 10_000, api_calls: 5_000 },
    })
    expect(standardPolicy.deferLimitMs).toBe(60_000)
    const tight = resolvePolicy({ gitOperationsLimitMs: 90_000, deferLimitMs: 7_000 })
    expect(sectionLimitsOf(tight)).toMatchObject({ git_operations: 7_000, file_operations: 7_000, api_calls: 5_000 })
  })

  it('[R7] a graceful kill takes them along; force and emergency have none', () => {
    const policy = resolvePolicy({ deferLimitMs: 1_000 })
    const limits = sectionLimitsOf(policy)
    given([requested({ policy }), started()])
      .when(requestKill())
      .then([killRequested('graceful', { sectionLimits: limits })])
    for (const kind of ['force', 'emergency'] as const) {
      const state = given(live)
        .when(requestKill(kind))
        .then([killRequested(kind, { graceMs: 0 })])
      expect(state?.kill).toMatchObject({ sectionLimits: null, deferral: null })
    }
  })

  const sections = fc.array(fc.record({ kind: fc.constantFrom(...sectionKinds) }), { maxLength: 5 })
  const limits = fc.record({
    ...{ deferLimitMs: fc.nat(600_000), gitOperationsLimitMs: fc.nat(600_000), apiCallsLimitMs: fc.nat(600_000) },
    ...{ databaseTransactionsLimitMs: fc.nat(600_000), fileOperationsLimitMs: fc.nat(600_000) },
  })

  it('[R7] whatever is open, and whenever it was entered: no wait is longer than its limit, counted from the request', () => {
    fc.assert(
      fc.property(sections, limits, fc.nat(700_000), (open, chosen, passed) => {
        const until = deferredUntil(open, sectionLimitsOf(resolvePolicy(chosen)), time(0), at(passed))
        if (until === undefined) return
        expect(open).not.toEqual([])
        expect(Date.parse(until)).toBeGreaterThan(at(passed))
        expect(Date.parse(until)).toBeLessThanOrEqual(at(chosen.deferLimitMs))
      }),
    )
  })

  it('[R7] what is waited for grows with what is open, and time only takes away', () => {
    fc.assert(
      fc.property(sections, sections, fc.nat(70_000), fc.nat(70_000), (some, more, early, later) => {
        const limits = sectionLimitsOf(standardPolicy)
        const until = (open: typeof some, now: number) => deferredUntil(open, limits, time(0), at(now)) ?? ''
        expect(until([...some, ...more], early) >= until(some, early)).toBe(true)
        expect(until(some, early) >= until(some, early + later)).toBe(true)
      }),
    )
  })
})

describe('declared sections', () => {
  it('[R7] are open from their entry to their exit, each once', () => {
    const inTwo = [
      ...live,
      entered('commit'),
      entered('call', { kind: 'api_calls', expectedMs: 900 }),
      entered('commit'),
    ]
    expect(stateAfter(inTwo).sections).toEqual([
      { id: 'commit', kind: 'git_operations', detail: 'commit', since: time(2_000) },
      { id: 'call', kind: 'api_calls', detail: 'call', since: time(3_000), expectedMs: 900 },
    ])
    expect(stateAfter([...inTwo, left('commit'), left('never entered')]).sections.map(({ id }) => id)).toEqual(['call'])
  })

  it('[R7] are bounded, and over with the run', () => {
    const many = Array.from({ length: openSectionsMax + 5 }, (_, index) => entered(`s${index}`))
    const open = [...live, ...many]
    expect(stateAfter(open).sections).toHaveLength(openSectionsMax)
    const over = [...open, event('RunCompleted', { rootExit: null, receipt: receipt() })]
    expect(stateAfter(over).sections).toEqual([])
    given(over)
      .fact(entered('late'))
      .then([expect.objectContaining({ type: 'LateResultObserved' })])
  })
})

describe('a kill that is deferred', () => {
  const deferred = [...live, killRequested(), killDeferred(time(32_000))]

  it('[R7] says until when, and for what; and goes on with the first signal', () => {
    expect(stateAfter(deferred)).toMatchObject({
      ...{ status: 'KILLING', killPhase: 'DEFERRED', firstSignalAt: null },
      kill: {
        deferral: { since: time(3_000), until: time(32_000), endedAt: null, sections: [{ detail: 'git push, pid 7' }] },
      },
    })
    for (const [signal, killPhase] of [
      [sigtermSent(), 'TERMINATING'],
      [sigkillSent(), 'KILLING'],
    ] as const) {
      expect(stateAfter([...deferred, signal])).toMatchObject({
        killPhase,
        kill: { deferral: { endedAt: time(4_000) } },
      })
    }
    expect(stateAfter([...deferred, event('RunLost', { receipt: receipt() })])).toMatchObject({
      ...{ killPhase: 'CLEANING', kill: { deferral: { endedAt: time(4_000) } } },
    })
  })

  it('[R7] that is prolonged has waited since the first time', () => {
    const longer = stateAfter([...deferred, killDeferred(time(50_000))])
    expect(longer.kill?.deferral).toMatchObject({ since: time(3_000), until: time(50_000), endedAt: null })
  })

  it('[R7] force pre-empts it, and its fact changes nothing when it comes after that', () => {
    const forced = given(deferred)
      .when(requestKill('force'))
      .then([killRequested('force', { graceMs: 0 })])
    expect(forced).toMatchObject({ killPhase: 'KILLING', kill: { deferral: { endedAt: time(4_000) } } })
    const late = stateAfter([...live, killRequested(), killRequested('force'), killDeferred(time(32_000))])
    expect(late).toMatchObject({ killPhase: 'KILLING', kill: { kind: 'force', deferral: { endedAt: time(4_000) } } })
    expect(stateAfter([...live, killDeferred(time(9_000))])).toMatchObject({ kill: null, killPhase: 'NONE' })
  })

  it('[R7] whatever else happens, it is DEFERRED only before the first signal of a graceful kill that waits', () => {
    fc.assert(
      fc.property(fc.array(factBody, { maxLength: 25 }), fc.boolean(), (facts, isForced) => {
        let history: Parameters<typeof stateAfter>[0] = [requested(), started(), killRequested()]
        if (isForced) history = [...history, killRequested('force')]
        for (const fact of facts) {
          history = [...history, absorb(fact, stateAfter(history))]
          const { killPhase, kill, firstSignalAt, status } = stateAfter(history)
          const waits = kill?.deferral != null && kill.deferral.endedAt === null
          expect(killPhase === 'DEFERRED').toBe(waits)
          if (waits) expect({ kind: kill.kind, firstSignalAt, status }).toEqual(graceful)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('[R24] is a phase of its own in the timeline', () => {
    const phases = phasesOf(record([...deferred, killDeferred(time(50_000)), sigtermSent()]))
    expect(phases.filter(({ kind }) => kind !== 'WAITING' && kind !== 'WORKING')).toEqual([
      { kind: 'KILL_REQUESTED', name: null, from: time(2_000), to: time(3_000) },
      { kind: 'DEFERRED', name: null, from: time(3_000), to: time(5_000) },
      { kind: 'TERMINATING', name: null, from: time(5_000), to: null },
    ])
    expect(summarise(record(deferred)[3] as never)).toContain(`until ${time(32_000)}`)
  })
})

describe('whether a run is safe to kill', () => {
  const push = { kind: 'git_operations', source: 'OBSERVED', since: time(0), detail: 'git push, pid 7' } as const
  const now = at(10_000)

  it('[R7] names what a kill would wait for, and until when at the latest', () => {
    expect(safeToKill(stateAfter(live), now, [push])).toEqual({
      safe: false,
      sections: [{ ...push, limitMs: 30_000 }],
      wouldDeferUntil: time(40_000),
      message: `A kill that is not forced would wait for a git operation (git push, pid 7), until ${time(40_000)} at the latest.`,
    })
    expect(safeToKill(stateAfter(live), now, [])).toMatchObject({ safe: true, sections: [], wouldDeferUntil: null })
  })

  it('[R7] goes by what the run declared where its host does not answer', () => {
    const open = stateAfter([...live, entered('call', { kind: 'api_calls' })])
    expect(safeToKill(open, now)).toMatchObject({
      ...{ safe: false, wouldDeferUntil: time(15_000), sections: [{ source: 'DECLARED', limitMs: 5_000 }] },
    })
    expect(safeToKill(open, now, [])).toMatchObject({ safe: true })
  })

  it('[R7] of a kill that is under way: counted from its request; once signalled nothing waits', () => {
    const asked = [...live, killRequested()]
    expect(safeToKill(stateAfter(asked), now, [push]).wouldDeferUntil).toBe(time(32_000))
    expect(safeToKill(stateAfter(asked), at(33_000), [push])).toMatchObject({ safe: true, sections: [push] })
    expect(safeToKill(stateAfter([...asked, sigtermSent()]), now, [push])).toMatchObject({ safe: true })
    expect(safeToKill(stateAfter([...asked, killRequested('force')]), now, [push])).toMatchObject({ safe: true })
    const ended = [...asked, placed({ fact: 1 }, event('RunKilled', { rootExit: null, receipt: receipt() }))]
    expect(safeToKill(stateAfter(ended), now, [push])).toMatchObject({ safe: true, sections: [] })
  })

  it('[R7] a policy that defers nothing makes every moment safe, and still names what is open', () => {
    const state = stateAfter([requested({ policy: resolvePolicy({ deferLimitMs: 0 }) }), started()])
    expect(safeToKill(state, now, [push])).toMatchObject({ safe: true, sections: [{ limitMs: 0 }] })
  })

  it('names three at most', () => {
    expect(sectionsText([push, push, push, push, push])).toMatch(/, 2 more$/)
  })
})
