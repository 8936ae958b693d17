import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { absorb } from '../../../src/domain/absorb.ts'
import { decide } from '../../../src/domain/decide.ts'
import { evolve } from '../../../src/domain/evolve.ts'
import type { FactBody } from '../../../src/domain/host-link.ts'
import type { KillKind, RunEventBody } from '../../../src/domain/run-events.ts'
import { holdsSlot, isTerminal, type RunState } from '../../../src/domain/run-state.ts'
import { stateAfter } from '../../support/decider-spec.ts'
import { eventBody, factBody, idempotencyKey, killKind } from '../../support/run-arbitraries.ts'
import {
  exited,
  type Place,
  receipt,
  record,
  requested,
  requestKill,
  root,
  sigkillSent,
  sigtermSent,
  started,
  treeGone,
  turn,
} from '../../support/run-events.ts'

type Placed = RunEventBody & Place
const terminations = new Set(['RunKilled', 'RunCompleted', 'RunFailed', 'RunLost'])
const ends = (history: readonly RunEventBody[]) => history.filter(({ type }) => terminations.has(type))
const strength: Record<KillKind, number> = { graceful: 0, force: 1, emergency: 2 }

describe('any interleaving of kills and facts', () => {
  const kill = fc.record({ kind: killKind, idempotencyKey })
  /** A fact that comes twice is given by the place of the first among those that came. */
  const step = fc.oneof(
    fc.record({ kill }),
    { weight: 4, arbitrary: fc.record({ fact: factBody }) },
    fc.record({ again: fc.nat(9) }),
  )

  type Step = { kill: { kind: KillKind; idempotencyKey?: string } } | { fact: FactBody } | { again: number }

  /** The history that control would write, were every fact that comes again a new one: harder than it can get. */
  function play(steps: readonly Step[], each: (history: Placed[], fact: FactBody | undefined) => void): void {
    const history: Placed[] = [requested()]
    const facts: FactBody[] = []
    for (const one of steps) {
      const state = stateAfter(history)
      if ('kill' in one) {
        const decision = decide(requestKill(one.kill.kind, { idempotencyKey: one.kill.idempotencyKey }), state)
        if (decision.ok) history.push(...decision.events)
        each(history, undefined)
        continue
      }
      const index = 'again' in one ? one.again % (facts.length || 1) : facts.length
      const fact = 'again' in one ? facts[index] : one.fact
      if (fact === undefined) continue
      facts[index] = fact
      history.push({ ...absorb(fact, state), fact: index + 1 })
      each(history, fact)
    }
  }

  const steps = fc.array(step, { maxLength: 25 }) as fc.Arbitrary<Step[]>

  it('[M1] [R10] ends at most once, for good, and only on a proof of this very run', () => {
    fc.assert(
      fc.property(steps, (all) => {
        let before = stateAfter([requested()])
        play(all, (history, fact) => {
          const state = stateAfter(history)
          expect(ends(history).length).toBe(isTerminal(state.status) ? 1 : 0)
          if (isTerminal(before.status)) expect(state.status).toBe(before.status)
          else if (isTerminal(state.status)) expectProof(before, state, fact)
          if (state.status === 'KILL_UNVERIFIED') expect(holdsSlot(state)).toBe(true)
          before = state
        })
      }),
      { numRuns: 600 },
    )
  })

  /** Only two facts end a run: a launch that never came to a process, and a proven receipt of this run. */
  function expectProof(before: RunState, state: RunState, fact: FactBody | undefined): void {
    if (fact?.type === 'LaunchFailed') {
      expect(before.root).toBeNull()
      expect(state.status).toBe('FAILED')
      return
    }
    expect(fact?.type).toBe('TreeGone')
    expect(state.receipt).toMatchObject({ proven: true, runId: state.runId })
    if (before.root !== null) expect(state.receipt?.root).toEqual(before.root)
  }

  it('[M1] has ended once a proven receipt of this run has come, whatever else came before or after', () => {
    fc.assert(
      fc.property(steps, steps, (earlier, later) => {
        const withRoot: Step[] = [{ fact: started() }, ...earlier, { fact: treeGone() }, ...later]
        let last: Placed[] = []
        play(withRoot, (history) => {
          last = [...history]
        })
        expect(ends(last)).toHaveLength(1)
      }),
    )
  })

  it('never reports KILLED for what nobody signalled and nobody asked to die', () => {
    fc.assert(
      fc.property(fc.array(factBody, { maxLength: 20 }), (facts) => {
        const asked = ['SigtermSent', 'SigkillSent', 'EmergencyKillRequested']
        const unsignalled = facts.filter(({ type }) => !asked.includes(type))
        play(
          unsignalled.map((fact) => ({ fact })),
          (history) => expect(history.map(({ type }) => type)).not.toContain('RunKilled'),
        )
      }),
    )
  })

  it('[M8] numbers of facts and revisions only grow', () => {
    fc.assert(
      fc.property(steps, (all) => {
        let before = stateAfter([requested()])
        play(all, (history) => {
          const state = stateAfter(history)
          expect(state.factSequence).toBeGreaterThanOrEqual(before.factSequence)
          expect(state.factSequence).toBe(Math.max(0, ...history.map(({ fact }) => fact ?? 0)))
          expect(state.revision).toBeGreaterThanOrEqual(before.revision)
          before = state
        })
      }),
    )
  })

  it('asks a host for a kill that never grows weaker, and is recorded once per wish', () => {
    fc.assert(
      fc.property(steps, (all) => {
        let strongest = -1
        play(all, (history) => {
          const { kill: wish } = stateAfter(history)
          if (wish === null) return
          expect(strength[wish.kind]).toBeGreaterThanOrEqual(strongest)
          strongest = strength[wish.kind]
          expect(new Set(wish.idempotencyKeys).size).toBe(wish.idempotencyKeys.length)
        })
      }),
    )
  })
})

describe('a host that keeps to its protocol, with kills at any moment and facts that lag behind', () => {
  type Move = 'kill' | 'force' | 'host' | 'exit' | 'deliver'
  const moves = fc.array(fc.constantFrom<Move>('kill', 'force', 'host', 'host', 'exit', 'deliver', 'deliver'), {
    maxLength: 40,
  })

  /** A host with one process and one child that outlives it, unless it is signalled. */
  function simulate(all: readonly Move[], status: number) {
    const history: Placed[] = [requested()]
    const outbox: FactBody[] = [started()]
    let stage: 'running' | 'exited' | 'terminated' | 'killed' | 'proven' = 'running'
    let exitedByItself = false
    let delivered = 0

    const host = () => {
      const wish = stateAfter(history).kill
      if (stage === 'running' && wish !== null) {
        outbox.push(wish.kind === 'graceful' ? sigtermSent() : sigkillSent(), exited(143))
        stage = wish.kind === 'graceful' ? 'terminated' : 'killed'
      } else if (stage === 'exited') {
        outbox.push(sigtermSent(wish === null ? 'leftovers' : 'kill'))
        stage = 'terminated'
      } else if (stage === 'terminated') {
        outbox.push(sigkillSent(exitedByItself && wish === null ? 'leftovers' : 'kill'))
        stage = 'killed'
      } else if (stage === 'killed') {
        outbox.push(treeGone(receipt({ root })))
        stage = 'proven'
      }
    }
    const exit = () => {
      if (stage !== 'running') return
      outbox.push(turn(1), exited(status))
      exitedByItself = true
      stage = 'exited'
    }
    const ask = (kind: KillKind) => {
      const decision = decide(requestKill(kind), stateAfter(history))
      if (decision.ok) history.push(...decision.events)
    }
    const deliver = () => {
      const fact = outbox[delivered]
      if (fact === undefined) return
      delivered += 1
      history.push({ ...absorb(fact, stateAfter(history)), fact: delivered })
    }
    const act: Record<Move, () => void> = {
      kill: () => ask('graceful'),
      force: () => ask('force'),
      host,
      exit,
      deliver,
    }
    for (const move of all) act[move]()
    if (stage === 'running') exit()
    while ((stage as string) !== 'proven') host()
    while (delivered < outbox.length) deliver()
    return { history, state: stateAfter(history), exitedByItself, factCount: outbox.length }
  }

  it('[M1] [R14] names the end by what came first: its own exit, or our signal; and absorbs every fact', () => {
    fc.assert(
      fc.property(moves, fc.constantFrom(0, 3), (all, status) => {
        const { history, state, exitedByItself, factCount } = simulate(all, status)
        const own = status === 0 ? 'COMPLETED' : 'FAILED'
        expect(state.status).toBe(exitedByItself ? own : 'KILLED')
        expect(ends(history)).toHaveLength(1)
        expect(state).toMatchObject({ lateResults: 0, factSequence: factCount })
      }),
      { numRuns: 500 },
    )
  })
})

describe('the fold', () => {
  const histories = fc.array(eventBody, { maxLength: 25 }).map((bodies) => record([requested(), ...bodies]))

  it('[R24] is total and deterministic, changes nothing it is given, and is JSON through and through', () => {
    fc.assert(
      fc.property(histories, (events) => {
        const recorded = JSON.parse(JSON.stringify(events)) as typeof events
        const frozen = JSON.stringify(recorded)
        const state = recorded.reduce<RunState | undefined>(evolve, undefined)
        expect(JSON.parse(JSON.stringify(state))).toEqual(state)
        expect(recorded.reduce<RunState | undefined>(evolve, undefined)).toEqual(state)
        expect(JSON.stringify(recorded)).toBe(frozen)
      }),
      { numRuns: 300 },
    )
  })

  it('[R14] goes on from a state that was stored in between', () => {
    fc.assert(
      fc.property(histories, fc.nat(25), (events, cut) => {
        const recorded = JSON.parse(JSON.stringify(events)) as typeof events
        const half = recorded.slice(0, cut).reduce<RunState | undefined>(evolve, undefined)
        const stored = half === undefined ? undefined : (JSON.parse(JSON.stringify(half)) as RunState)
        expect(recorded.slice(cut).reduce(evolve, stored)).toEqual(recorded.reduce(evolve, undefined))
      }),
    )
  })

  it('[M1] never leaves an end, and never reaches one without proof, even on events that nobody decided', () => {
    fc.assert(
      fc.property(histories, (events) => {
        let before: RunState | undefined
        for (const event of events) {
          const state = evolve(before, event) as RunState
          if (before !== undefined && isTerminal(before.status)) {
            expect(state).toMatchObject({ status: before.status, endedAt: before.endedAt, receipt: before.receipt })
            expect(state.processes).toBe(0)
          } else if (isTerminal(state.status)) {
            const neverLaunched = state.failure?.reason === 'LAUNCH_FAILED' && state.root === null
            expect(state.receipt?.proven ?? neverLaunched).toBe(true)
            expect(state.receipt?.runId ?? state.runId).toBe(state.runId)
          }
          before = state
        }
      }),
      { numRuns: 300 },
    )
  })

  it('knows no run before it was requested', () => {
    fc.assert(
      fc.property(fc.array(eventBody), (bodies) => {
        const unasked = record(bodies.filter(({ type }) => type !== 'RunRequested'))
        expect(unasked.reduce<RunState | undefined>(evolve, undefined)).toBeUndefined()
      }),
    )
  })

  it('keeps only the last 20 notices', () => {
    const heartbeat = { type: 'HeartbeatRecorded' as const, data: { notices: [{ code: 'NOTE', detail: 'x' }] } }
    expect(stateAfter([requested(), ...Array(25).fill(heartbeat)]).notices).toHaveLength(20)
  })
})
