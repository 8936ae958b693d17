import { describe, expect, it } from 'vitest'
import type { RequestForceComplete, RequestRestart } from '../../../src/domain/decide.ts'
import { launchSpecSchema } from '../../../src/domain/launch.ts'
import { standardPolicy } from '../../../src/domain/policy.ts'
import { given, stateAfter } from '../../support/decider-spec.ts'
import {
  event,
  exited,
  killRequested,
  receipt,
  requested,
  requestKill,
  sigkillSent,
  sigtermSent,
  started,
  time,
  treeGone,
  unproven,
} from '../../support/run-events.ts'

const launch = launchSpecSchema.parse({ command: ['agent'] })
const newRunId = 'run_ba9876543210'
const restart = {
  newRunId,
  definition: 'RECORDED' as const,
  workflow: 'BUILDER',
  launch,
  policy: standardPolicy,
  reason: 'stuck',
}
const requestRestart: RequestRestart = { type: 'RequestRestart', ...restart }
const requestFailure: RequestForceComplete = { type: 'RequestForceComplete', outcome: 'FAILED', reason: 'enough' }
const restartRequested = event('RestartRequested', restart)
const failureRequested = event('ForceCompleteRequested', { outcome: 'FAILED', reason: 'enough' })

const live = [requested(), started()]
const ended = [...live, exited(0), event('RunCompleted', { rootExit: null, receipt: receipt() })]
const unverified = [...live, killRequested(), sigkillSent(), event('KillUnverified', { receipt: unproven() })]

describe('[R2] restart', () => {
  it('records the intent and the kill of a live run together', () => {
    const state = given(live)
      .when(requestRestart)
      .then([restartRequested, killRequested('graceful', { reason: 'stuck' })])
    expect(state).toMatchObject({ status: 'KILLING', restart: { newRunId }, restartedAs: null })
  })

  it('of a run that has ended needs no kill', () => {
    given(ended).when(requestRestart).then([restartRequested])
  })

  it('joins a kill that is under way, and tries again where that was not proven', () => {
    given([...live, killRequested('force')])
      .when(requestRestart)
      .then([restartRequested])
    given(unverified)
      .when(requestRestart)
      .then([restartRequested, killRequested('graceful', { reason: 'stuck' })])
  })

  it('is one restart, however often it is asked for and whatever new id each request brings', () => {
    given([...live, restartRequested, killRequested()])
      .when({ ...requestRestart, newRunId: 'run_ffffffffffff' })
      .then([])
    given([...ended, restartRequested, event('RunRestarted', { newRunId })])
      .when(requestRestart)
      .then([])
  })

  it('names the new run only once the old one is over', () => {
    const early = [...live, restartRequested, killRequested(), event('RunRestarted', { newRunId })]
    expect(stateAfter(early).restartedAs).toBeNull()
    expect(stateAfter([...ended, restartRequested, event('RunRestarted', { newRunId })]).restartedAs).toBe(newRunId)
  })

  it('of no run is refused', () => {
    given([])
      .when(requestRestart)
      .then({ rejected: { code: 'RunNotFound' } })
  })
})

describe('[R3] force-complete', () => {
  it('records the decision and the kill together, and ends the run on the receipt', () => {
    const decided = [...live, failureRequested, killRequested('graceful', { reason: 'enough' }), sigtermSent()]
    given(live).when(requestFailure).then(decided.slice(2, 4))
    const state = given(decided)
      .fact(treeGone())
      .then([event('RunForceCompleted', { outcome: 'FAILED', rootExit: null, receipt: receipt() })])
    expect(state).toMatchObject({ status: 'FAILED', failure: { reason: 'FORCED', message: 'enough' } })
  })

  it('ends nothing without proof', () => {
    const decided = [...live, failureRequested, killRequested(), sigkillSent()]
    const state = stateAfter([
      ...decided,
      event('RunForceCompleted', { outcome: 'FAILED', rootExit: null, receipt: unproven() }),
    ])
    expect(state.status).toBe('KILLING')
  })

  it('leaves the outcome of a root that ended before the first signal', () => {
    const state = given([...live, failureRequested, killRequested(), exited(0)])
      .fact(treeGone())
      .then([event('RunCompleted', { rootExit: { status: 0, at: time(5_000) }, receipt: receipt() })])
    expect(state?.status).toBe('COMPLETED')
  })

  it('ends a run that was never launched', () => {
    const state = given([requested(), failureRequested, killRequested()])
      .fact(treeGone(receipt({ root: null })))
      .then([event('RunForceCompleted', { outcome: 'FAILED', rootExit: null, receipt: receipt({ root: null }) })])
    expect(state?.status).toBe('FAILED')
  })

  it('is decided once: the same again joins, another outcome is refused, an ended run stays as it ended', () => {
    const decided = [...live, failureRequested, killRequested()]
    given(decided).when(requestFailure).then([])
    given(decided)
      .when({ ...requestFailure, outcome: 'COMPLETED' })
      .then({ rejected: { code: 'OtherOutcome', outcome: 'FAILED' } })
    given(ended)
      .when(requestFailure)
      .then({ rejected: { code: 'AlreadyEnded', status: 'COMPLETED', endedAt: stateAfter(ended).endedAt ?? '' } })
    given(decided).when(requestKill()).then([])
  })
})
