import { describe, expect, it } from 'vitest'
import { standardPolicy } from '../../../src/domain/policy.ts'
import { killKindSchema } from '../../../src/domain/run-events.ts'
import { holdsSlot } from '../../../src/domain/run-state.ts'
import { given, stateAfter } from '../../support/decider-spec.ts'
import {
  event,
  exited,
  identity,
  killRequested,
  launchFailed,
  placed,
  receipt,
  requested,
  requestKill,
  sigkillSent,
  sigtermSent,
  started,
  time,
  treeGone,
  treeNotProven,
  unproven,
} from '../../support/run-events.ts'

const live = [requested(), started()]
const killing = [...live, killRequested()]
const unverified = [...killing, sigtermSent(), sigkillSent(), event('KillUnverified', { receipt: unproven() })]
const rootExit = { status: 143, at: time(5_000) }
const kinds = killKindSchema.options

describe('asking for a kill', () => {
  it('[R1] [R5] is recorded with the policy grace and deadline', () => {
    const state = given(live)
      .when(requestKill())
      .then([killRequested('graceful', { graceMs: 3_000, proofDeadlineMs: 5_000 })])
    expect(state).toMatchObject({ status: 'KILLING', killPhase: 'TERMINATING' })
    expect(state?.kill).toMatchObject({ kind: 'graceful', requestedBy: { id: 'ada' }, requestedAt: time(2_000) })
  })

  it('[R5] takes grace and deadline from the policy of the run', () => {
    const policy = { ...standardPolicy, graceMs: 250, proofDeadlineMs: 700 }
    given([requested({ policy }), started()])
      .when(requestKill())
      .then([killRequested('graceful', { graceMs: 250, proofDeadlineMs: 700 })])
  })

  it.each(['force', 'emergency'] as const)('[R4] %s skips the grace', (kind) => {
    const state = given(live)
      .when(requestKill(kind))
      .then([killRequested(kind, { graceMs: 0 })])
    expect(state?.killPhase).toBe('KILLING')
  })

  it('[R9] of an unknown run is refused', () => {
    given([])
      .when(requestKill())
      .then({ rejected: { code: 'RunNotFound' } })
  })

  it.each([
    ['KILLED', event('RunKilled', { rootExit, receipt: receipt() })],
    ['COMPLETED', event('RunCompleted', { rootExit, receipt: receipt() })],
    ['LOST', event('RunLost', { receipt: receipt() })],
    ['FAILED', event('RunFailed', { reason: 'EXIT_STATUS', message: 'status 3', rootExit, receipt: receipt() })],
  ] as const)('[R9] of a run that is %s is refused, whatever its kind', (status, end) => {
    for (const kind of kinds) {
      given([...live, end])
        .when(requestKill(kind))
        .then({ rejected: { code: 'AlreadyEnded', status, endedAt: time(2_000) } })
    }
  })
})

describe('a second kill', () => {
  const pairs = kinds.flatMap((first, i) => kinds.map((second, j) => ({ first, second, joins: j <= i })))

  it.each(pairs.filter(({ joins }) => joins))('[R10] $second joins $first', ({ first, second }) => {
    given([...live, killRequested(first)])
      .when(requestKill(second))
      .then([])
  })

  it.each(pairs.filter(({ joins }) => !joins))('[R10] $second pre-empts $first', ({ first, second }) => {
    const state = given([...live, killRequested(first), sigtermSent()])
      .when(requestKill(second))
      .then([killRequested(second)])
    expect(state).toMatchObject({ status: 'KILLING', kill: { kind: second, graceMs: 0 }, killPhase: 'KILLING' })
  })

  it('a retry with the same key is the first request, also once the run has ended', () => {
    const history = [...live, killRequested('graceful', { idempotencyKey: 'k1' })]
    given(history)
      .when(requestKill('graceful', { idempotencyKey: 'k1' }))
      .then([])
    given([...history, event('RunKilled', { rootExit, receipt: receipt() })])
      .when(requestKill('graceful', { idempotencyKey: 'k1' }))
      .then([])
  })

  it('the keys of all kills that were recorded are remembered', () => {
    const history = [
      ...live,
      killRequested('graceful', { idempotencyKey: 'k1' }),
      killRequested('force', { idempotencyKey: 'k2' }),
    ]
    expect(stateAfter(history).kill?.idempotencyKeys).toEqual(['k1', 'k2'])
    for (const idempotencyKey of ['k1', 'k2']) {
      given(history).when(requestKill('emergency', { idempotencyKey })).then([])
    }
  })
})

describe('the ladder', () => {
  it('[R5] goes through its phases and ends KILLED on the receipt', () => {
    const phases = [
      killRequested(),
      sigtermSent(),
      exited(143),
      sigkillSent(),
      event('RunKilled', { rootExit, receipt: receipt() }),
      event('CleanupStepCompleted', { step: 'cgroup', detail: 'removed' }),
      event('RunCleaned', { failedSteps: [] }),
    ].map((_, index, all) => stateAfter([...live, ...all.slice(0, index + 1)]).killPhase)
    expect(phases).toEqual(['TERMINATING', 'TERMINATING', 'VERIFYING', 'KILLING', 'CLEANING', 'CLEANING', 'DONE'])
  })

  it('[M1] a root that exits after our first signal was KILLED', () => {
    const state = given([...killing, sigtermSent(), exited(143)])
      .fact(treeGone())
      .then([event('RunKilled', { rootExit, receipt: receipt() })])
    expect(state).toMatchObject({ status: 'KILLED', endedAt: time(5_000), processes: 0, receipt: { proven: true } })
  })

  it('[M1] even when it exits with 0 after the signal', () => {
    given([...killing, sigtermSent(), exited(0)])
      .fact(treeGone())
      .then([event('RunKilled', { rootExit: { status: 0, at: time(5_000) }, receipt: receipt() })])
  })

  it('is KILLED also when nobody recorded the exit of the root', () => {
    given([...killing, sigkillSent()])
      .fact(treeGone())
      .then([event('RunKilled', { rootExit: null, receipt: receipt() })])
  })

  it('the root that exited before our first signal keeps its own outcome, although a kill was asked for', () => {
    const state = given([...killing, exited(0), sigtermSent()])
      .fact(treeGone())
      .then([event('RunCompleted', { rootExit: { status: 0, at: time(5_000) }, receipt: receipt() })])
    expect(state).toMatchObject({ status: 'COMPLETED', killPhase: 'CLEANING' })
  })

  it('is LOST when it vanished before our first signal and nobody recorded how', () => {
    for (const history of [killing, [...killing, exited(null)]]) {
      given(history)
        .fact(treeGone())
        .then([event('RunLost', { receipt: receipt() })])
    }
  })

  it('of a force that pre-empts does not step back to SIGTERM in its phase when that fact comes later', () => {
    expect(stateAfter([...killing, killRequested('force'), sigtermSent()]).killPhase).toBe('KILLING')
    expect(stateAfter([...killing, sigkillSent(), sigtermSent()]).killPhase).toBe('KILLING')
  })

  it('[R41] remembers when the tree was signalled first', () => {
    const history = [
      ...killing,
      placed({ occurredAt: time(3_500) }, sigtermSent()),
      placed({ occurredAt: time(6_500) }, sigkillSent()),
    ]
    expect(stateAfter(history).firstSignalAt).toBe(time(3_500))
  })
})

describe('a kill before the launch', () => {
  const waiting = [requested(), killRequested()]
  const nothing = receipt({ root: null, processCount: 0 })

  it('is accepted while the run waits', () => {
    const state = given([requested()]).when(requestKill()).then([killRequested()])
    expect(state?.status).toBe('KILLING')
    expect(state && holdsSlot(state)).toBe(false)
  })

  it('[M1] ends KILLED by a receipt without a root', () => {
    given(waiting)
      .fact(treeGone(nothing))
      .then([event('RunKilled', { rootExit: null, receipt: nothing })])
  })

  it('keeps KILLING when the start is reported after the request, and then has a root to kill', () => {
    const state = given(waiting).fact(started()).then([started()])
    expect(state).toMatchObject({ status: 'KILLING', root: { pid: 4242 }, startedAt: time(1_000) })
    expect(state && holdsSlot(state)).toBe(true)
  })

  it('is FAILED when the launch failed by itself meanwhile', () => {
    const state = given(waiting)
      .fact(launchFailed())
      .then([event('RunFailed', { reason: 'LAUNCH_FAILED', ...launchFailed().data, rootExit: null, receipt: null })])
    expect(state).toMatchObject({ status: 'FAILED', killPhase: 'CLEANING' })
  })
})

describe('without proof', () => {
  it('[M1] is KILL_UNVERIFIED, which is no end and keeps the slot', () => {
    const state = given([...killing, sigtermSent(), sigkillSent()])
      .fact(treeNotProven())
      .then([event('KillUnverified', { receipt: unproven() })])
    expect(state).toMatchObject({ status: 'KILL_UNVERIFIED', killPhase: 'VERIFYING', endedAt: null })
    expect(state && holdsSlot(state)).toBe(true)
  })

  it('[M1] keeps the slot also when it is not known what was launched', () => {
    expect(
      holdsSlot(stateAfter([requested(), killRequested(), event('KillUnverified', { receipt: unproven() })])),
    ).toBe(true)
  })

  it('[M1] proof that comes later ends it KILLED', () => {
    const state = given(unverified)
      .fact(treeGone())
      .then([event('RunKilled', { rootExit: null, receipt: receipt() })])
    expect(state).toMatchObject({ status: 'KILLED', receipt: { proven: true } })
  })

  it('[M1] a "gone" whose receipt proves nothing ends nothing', () => {
    const claim = treeGone(unproven())
    const state = given([...killing, sigtermSent()])
      .fact(claim)
      .then([event('LateResultObserved', { fact: 'TreeGone', data: claim.data, status: 'KILLING' })])
    expect(state?.status).toBe('KILLING')
  })

  it('[M1] [M8] the receipt of another run proves nothing of this one', () => {
    const claim = treeGone(receipt({ runId: 'run_ffffffffffff' }))
    const state = given([...killing, sigtermSent()])
      .fact(claim)
      .then([event('LateResultObserved', { fact: 'TreeGone', data: claim.data, status: 'KILLING' })])
    expect(state?.status).toBe('KILLING')
  })

  it('[M8] nor does a doubt about another run cast one on this', () => {
    const doubt = treeNotProven(unproven({ runId: 'run_ffffffffffff' }))
    given([...killing, sigtermSent()])
      .fact(doubt)
      .then([event('LateResultObserved', { fact: 'TreeNotProven', data: doubt.data, status: 'KILLING' })])
  })

  it.each([
    ['another process', identity(99)],
    ['a later process with the same pid', { ...identity(4242), startTime: '999999' }],
    ['no process at all', null],
  ])('[M1] a receipt whose root is %s does not prove the death of the one that was started', (_, claimed) => {
    const claim = treeGone(receipt({ root: claimed }))
    const state = given([...killing, sigtermSent()])
      .fact(claim)
      .then([event('LateResultObserved', { fact: 'TreeGone', data: claim.data, status: 'KILLING' })])
    expect(state?.status).toBe('KILLING')
  })

  it.each(kinds)('[R10] every further request tries again: %s', (kind) => {
    const state = given(unverified)
      .when(requestKill(kind))
      .then([killRequested(kind)])
    expect(state).toMatchObject({ status: 'KILLING', kill: { requestedAt: time(6_000) } })
  })

  it('tries again at least as hard as before, for a wish never grows weaker', () => {
    const history = [...live, killRequested('force'), sigkillSent(), event('KillUnverified', { receipt: unproven() })]
    const state = given(history)
      .when(requestKill('graceful'))
      .then([killRequested('force')])
    expect(state?.kill).toMatchObject({ kind: 'force', graceMs: 0 })
  })

  it('a further request joins the retry that is under way', () => {
    given([...unverified, killRequested()])
      .when(requestKill())
      .then([])
  })

  it('a retry that is unverified again stays so, with the newer receipt', () => {
    const newer = unproven({ processCount: 7 })
    const state = given([...unverified, killRequested(), sigkillSent()])
      .fact(treeNotProven(newer))
      .then([event('KillUnverified', { receipt: newer })])
    expect(state).toMatchObject({ status: 'KILL_UNVERIFIED', receipt: { processCount: 7 } })
  })
})
