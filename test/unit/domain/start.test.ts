import { describe, expect, it } from 'vitest'
import { holdsSlot } from '../../../src/domain/run-state.ts'
import { given, stateAfter } from '../../support/decider-spec.ts'
import {
  event,
  identity,
  launchFailed,
  phase,
  placed,
  receipt,
  requested,
  requestRun,
  root,
  runId,
  started,
  time,
  treeGone,
  turn,
} from '../../support/run-events.ts'

describe('requesting a run', () => {
  it('[R12] begins a run with everything that was asked for', () => {
    const state = given([])
      .when(requestRun({ labels: { team: 'core' }, idempotencyKey: 'k1' }))
      .then([requested({ labels: { team: 'core' }, idempotencyKey: 'k1' })])
    expect(state).toMatchObject({ status: 'REQUESTED', killPhase: 'NONE', phase: 'initialization', turns: 0 })
    expect(state).toMatchObject({ labels: { team: 'core' }, idempotencyKey: 'k1', requestedBy: { id: 'ada' } })
  })

  it('[R12] begins a run around a process that something else started', () => {
    const registered = { root: identity(77), workspacePath: '/srv/work' }
    const state = given([])
      .when(requestRun({ work: { kind: 'supervise', ...registered } }))
      .then([requested({ origin: 'registered', launch: null, registered })])
    expect(state).toMatchObject({ origin: 'registered', root: null, workspacePath: '/srv/work' })
  })

  it('answers a retry with the same idempotency key without doing it again', () => {
    given([requested({ idempotencyKey: 'k1' })])
      .when(requestRun({ idempotencyKey: 'k1' }))
      .then([])
  })

  it('answers such a retry also when the run has ended', () => {
    given([requested({ idempotencyKey: 'k1' }), event('RunLost', { receipt: receipt() })])
      .when(requestRun({ idempotencyKey: 'k1' }))
      .then([])
  })

  it.each([
    ['no key on either side', undefined, undefined],
    ['no key on the first', undefined, 'k1'],
    ['no key on the second', 'k1', undefined],
    ['another key', 'k1', 'k2'],
  ])('[M8] refuses a run id that is taken: %s', (_, first, second) => {
    given([requested({ idempotencyKey: first })])
      .when(requestRun({ idempotencyKey: second }))
      .then({ rejected: { code: 'RunExists' } })
  })

  it('[M8] never reuses the id of a run that has ended', () => {
    given([requested(), event('RunLost', { receipt: receipt() })])
      .when(requestRun())
      .then({ rejected: { code: 'RunExists' } })
  })
})

describe('starting', () => {
  it('[R12] registers process, workspace and start time', () => {
    const state = given([requested()]).fact(started()).then([started()])
    expect(state).toMatchObject({ status: 'RUNNING', root, attempt: 1, level: 'cgroup-v2' })
    expect(state).toMatchObject({ startedAt: time(1_000), phaseSince: time(1_000), workspacePath: '/tmp/workspace' })
  })

  it('keeps a second start as a late result: the first process stays the run', () => {
    const second = started({ attempt: 2, root: identity(99) })
    const state = given([requested(), started()])
      .fact(second)
      .then([event('LateResultObserved', { fact: 'RunStarted', data: second.data, status: 'RUNNING' })])
    expect(state).toMatchObject({ root, attempt: 1, lateResults: 1 })
  })

  it('[R14] goes on after an adoption as it was', () => {
    const before = stateAfter([requested(), started(), turn(1)])
    const adopted = event('RunAdopted', { root })
    const after = given([requested(), started(), turn(1)])
      .fact(adopted)
      .then([adopted])
    expect(after).toEqual({ ...before, revision: 3 })
  })

  it('fails without a process when the launch fails', () => {
    const { code, message } = launchFailed().data
    const state = given([requested()])
      .fact(launchFailed())
      .then([event('RunFailed', { reason: 'LAUNCH_FAILED', code, message, rootExit: null, receipt: null })])
    expect(state).toMatchObject({ status: 'FAILED', endedAt: time(1_000), killPhase: 'NONE', startedAt: null })
    expect(state?.failure).toEqual({ reason: 'LAUNCH_FAILED', message, code })
  })

  it('[M1] disbelieves a failed launch once a process was seen', () => {
    const state = given([requested(), started()])
      .fact(launchFailed())
      .then([event('LateResultObserved', { fact: 'LaunchFailed', data: launchFailed().data, status: 'RUNNING' })])
    expect(state?.status).toBe('RUNNING')
  })

  it('is LOST when its launch left no process and no outcome, and nobody asked for its death', () => {
    const proof = receipt({ root: null, processCount: 0 })
    given([requested()])
      .fact(treeGone(proof))
      .then([event('RunLost', { receipt: proof })])
  })

  it('keeps the phase, and since when, that a run reported before its start was known', () => {
    const state = stateAfter([requested(), placed({ occurredAt: time(1_500) }, phase('build')), started()])
    expect(state).toMatchObject({ phase: 'build', phaseSince: time(1_500), startedAt: time(1_000) })
  })
})

describe('slots', () => {
  it.each([
    ['a waiting run', [requested()], false],
    ['a live run', [requested(), started()], true],
    ['an ended run', [requested(), started(), event('RunLost', { receipt: receipt() })], false],
  ])('%s: %#', (_, history, expected) => {
    expect(holdsSlot(stateAfter(history))).toBe(expected)
  })

  it('[M8] every event of one run leaves its id alone', () => {
    expect(stateAfter([requested(), requested({ runId: 'run_ffffffffffff' }), started()]).runId).toBe(runId)
  })
})
