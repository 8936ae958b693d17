import { describe, expect, it } from 'vitest'
import { desired } from '../../../src/control/host-dispatcher.ts'
import { given, stateAfter } from '../../support/decider-spec.ts'
import {
  emergencyRequested,
  event,
  exited,
  killRequested,
  placed,
  receipt,
  requested,
  requestKill,
  sigkillSent,
  sigtermSent,
  started,
  time,
  treeGone,
  unproven,
  user,
} from '../../support/run-events.ts'

const live = [requested(), started()]
const emergency = killRequested('emergency')
const exit = { status: 137, at: time(5_000) }

/** An emergency kill that a host was asked for while the store was away, as its fact comes in later. */
describe('[R14] [R4] an emergency kill that comes as a fact', () => {
  it('becomes the kill of the run, with its reason and deadline', () => {
    const state = given(live)
      .fact(emergencyRequested({ reason: 'it burns', proofDeadlineMs: 700, idempotencyKey: 'k1' }))
      .then([
        killRequested('emergency', { reason: 'it burns', graceMs: 0, proofDeadlineMs: 700, idempotencyKey: 'k1' }),
      ])
    expect(state).toMatchObject({ status: 'KILLING', killPhase: 'KILLING', kill: { idempotencyKeys: ['k1'] } })
  })

  it('is a kill of whoever asked, at the time they asked', () => {
    const asked = placed({ fact: 4, actor: user, occurredAt: time(9_000) }, emergency)
    const state = stateAfter([...live, asked])
    expect(state).toMatchObject({ kill: { requestedBy: user, requestedAt: time(9_000) }, factSequence: 4 })
  })

  it('ends the run with what follows: signals, exit, proof', () => {
    const state = given([...live, emergency, sigkillSent(), exited(137)])
      .fact(treeGone())
      .then([event('RunKilled', { rootExit: exit, receipt: receipt() })])
    expect(state?.status).toBe('KILLED')
  })

  it('outdoes a graceful kill that the store has', () => {
    const state = given([...live, killRequested('graceful'), sigtermSent()])
      .fact(emergencyRequested())
      .then([emergency])
    expect(state?.kill?.kind).toBe('emergency')
    expect(state?.firstSignalAt).not.toBeNull()
  })

  it('begins anew after a kill that could not be proven', () => {
    const history = [...live, killRequested('force'), sigkillSent(), event('KillUnverified', { receipt: unproven() })]
    expect(given(history).fact(emergencyRequested()).then([emergency])?.status).toBe('KILLING')
  })

  it('ends a run that was never launched', () => {
    const none = receipt({ root: null })
    given([requested(), emergency])
      .fact(treeGone(none))
      .then([event('RunKilled', { rootExit: null, receipt: none })])
  })

  it('leaves a run its own end when the root had exited before the first signal', () => {
    given([...live, exited(0), emergency, sigkillSent()])
      .fact(treeGone())
      .then([event('RunCompleted', { rootExit: { status: 0, at: time(5_000) }, receipt: receipt() })])
  })

  it('of a run that has ended changes nothing, and is kept', () => {
    const ended = [...live, exited(0), event('RunCompleted', { rootExit: null, receipt: receipt() })]
    const fact = emergencyRequested()
    const state = given(ended)
      .fact(fact)
      .then([event('LateResultObserved', { fact: fact.type, data: fact.data, status: 'COMPLETED' })])
    expect(state).toMatchObject({ status: 'COMPLETED', kill: null, lateResults: 1 })
  })

  it('of a run that this store has never heard of is kept as such', () => {
    const fact = emergencyRequested()
    given([])
      .fact(fact)
      .then([event('LateResultObserved', { fact: fact.type, data: fact.data, status: 'UNKNOWN' })])
  })

  it('[R2] [R3] gives a run that was to be ended by decision that very end', () => {
    given([...live, event('ForceCompleteRequested', { outcome: 'FAILED', reason: null }), killRequested(), emergency])
      .fact(treeGone(receipt({ root: null })))
      .then([
        event('LateResultObserved', {
          fact: 'TreeGone',
          data: { receipt: receipt({ root: null }) },
          status: 'KILLING',
        }),
      ])
    given([
      ...live,
      event('ForceCompleteRequested', { outcome: 'FAILED', reason: null }),
      killRequested(),
      emergency,
      sigkillSent(),
    ])
      .fact(treeGone())
      .then([event('RunForceCompleted', { outcome: 'FAILED', rootExit: null, receipt: receipt() })])
  })

  it('is joined by every kill that is asked for later', () => {
    for (const kind of ['graceful', 'force', 'emergency'] as const)
      given([...live, emergency])
        .when(requestKill(kind))
        .then([])
  })

  it('is what its host is then told to want: nothing weaker, nothing newer', () => {
    const asked = placed({ fact: 4, actor: user, occurredAt: time(9_000) }, emergency)
    const { kill } = desired(stateAfter([...live, killRequested('graceful'), asked]), 1, 0)
    expect(kill).toEqual({ kind: 'emergency', requestedAt: time(9_000), graceMs: 0, proofDeadlineMs: 5_000 })
  })
})
