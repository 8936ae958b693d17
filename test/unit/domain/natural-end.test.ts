import { describe, expect, it } from 'vitest'
import { given, stateAfter } from '../../support/decider-spec.ts'
import {
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
  treeNotProven,
  turn,
  unproven,
} from '../../support/run-events.ts'

const live = [requested(), started()]
const exit = (status: number | null) => ({ status, at: time(5_000) })
const completed = event('RunCompleted', { rootExit: exit(0), receipt: receipt() })

describe('a run that ends by itself', () => {
  it('is not over while only its root is gone', () => {
    const state = given(live)
      .fact(exited(0))
      .then([exited(0)])
    expect(state).toMatchObject({ status: 'RUNNING', killPhase: 'NONE', endedAt: null })
    expect(state?.rootExit).toEqual({ ...exit(0), beforeFirstSignal: true })
  })

  it('is COMPLETED after status 0', () => {
    const state = given([...live, exited(0)])
      .fact(treeGone())
      .then([completed])
    expect(state).toMatchObject({ status: 'COMPLETED', killPhase: 'NONE', cleanup: { status: 'RUNNING' } })
  })

  it.each([
    [1, 'The root process ended with status 1.'],
    [128, 'The root process ended with status 128.'],
    [129, 'The root process ended with status 129 (signal 1, or an exit status of that number).'],
    [137, 'The root process ended with status 137 (signal 9, or an exit status of that number).'],
  ])('is FAILED after status %i', (status, message) => {
    const state = given([...live, exited(status)])
      .fact(treeGone())
      .then([event('RunFailed', { reason: 'EXIT_STATUS', message, rootExit: exit(status), receipt: receipt() })])
    expect(state?.failure).toEqual({ reason: 'EXIT_STATUS', message, code: null })
  })

  it('[R10] says that the kernel killed it for memory where its host has counted that', () => {
    const outOfMemory = { kills: 1, limitHits: 3, limitBytes: 2 ** 29 }
    const message =
      'The root process ended with status 137 (signal 9, or an exit status of that number). ' +
      'Out of memory: its cgroup hit memory.max (512.0 MiB), 1 process OOM-killed.'
    const state = given([...live, exited(137), event('TelemetrySummarised', { outOfMemory })])
      .fact(treeGone())
      .then([event('RunFailed', { reason: 'EXIT_STATUS', message, rootExit: exit(137), receipt: receipt() })])
    expect(state).toMatchObject({ status: 'FAILED', outOfMemory })
  })

  it('is LOST when nobody recorded its status', () => {
    given([...live, exited(null)])
      .fact(treeGone())
      .then([event('RunLost', { receipt: receipt() })])
  })

  it('is LOST when it vanished with everything', () => {
    given(live)
      .fact(treeGone())
      .then([event('RunLost', { receipt: receipt() })])
  })

  it('keeps the first exit status that was reported', () => {
    given([...live, exited(3)])
      .fact(exited(0))
      .then([event('LateResultObserved', { fact: 'ProcessExited', data: exit(0), status: 'RUNNING' })])
  })
})

describe('what it leaves behind', () => {
  const leftovers = [...live, exited(0), sigtermSent('leftovers'), sigkillSent('leftovers')]

  it('[R6] is taken down by the ladder, and the run keeps its own outcome', () => {
    given(leftovers).fact(treeGone()).then([completed])
  })

  it('[R6] shows no kill that nobody asked for', () => {
    expect(stateAfter(leftovers)).toMatchObject({ status: 'RUNNING', killPhase: 'NONE', kill: null })
  })

  it('a kill that is asked for meanwhile joins the ladder; the outcome stays', () => {
    const killed = given(leftovers)
      .when(requestKill('force'))
      .then([killRequested('force')])
    expect(killed?.status).toBe('KILLING')
    given([...leftovers, killRequested('force'), sigkillSent()])
      .fact(treeGone())
      .then([completed])
  })

  it('[M1] what cannot be proven gone keeps the run from its end, until it can', () => {
    const state = given(leftovers)
      .fact(treeNotProven())
      .then([event('KillUnverified', { receipt: unproven() })])
    expect(state).toMatchObject({ status: 'KILL_UNVERIFIED', endedAt: null })
    given([...leftovers, event('KillUnverified', { receipt: unproven() })])
      .fact(treeGone())
      .then([completed])
  })

  it('[M1] a run is not KILLED when nobody asked for it and its exit was never recorded', () => {
    given([...live, sigtermSent('leftovers')])
      .fact(treeGone())
      .then([event('RunLost', { receipt: receipt() })])
  })

  it('an exit that is reported only after its leftovers were signalled is still its own', () => {
    given([...live, sigtermSent('leftovers'), exited(0)])
      .fact(treeGone())
      .then([completed])
  })
})

describe('cleanup', () => {
  const over = [...live, exited(0), completed]
  const failed = (attempt: number) =>
    event('CleanupStepFailed', { step: 'cgroup', error: 'EBUSY', attempt, willRetry: attempt < 3 })

  it('[R8] shows each step, and how often it was tried', () => {
    const done = event('CleanupStepCompleted', { step: 'cgroup', detail: 'removed' })
    const state = stateAfter([...over, failed(1), failed(2), done, event('RunCleaned', { failedSteps: [] })])
    expect(state.cleanup).toEqual({
      status: 'DONE',
      doneAt: time(7_000),
      steps: [{ step: 'cgroup', status: 'COMPLETED', detail: 'removed', attempts: 3, at: time(6_000) }],
    })
  })

  it('[R8] says so when a step failed for good', () => {
    const state = stateAfter([...over, failed(1), event('RunCleaned', { failedSteps: ['cgroup'] })])
    expect(state.cleanup).toMatchObject({ status: 'FAILED', steps: [{ status: 'FAILED', detail: 'EBUSY' }] })
  })

  it('never begins before the end', () => {
    const early = event('CleanupStepCompleted', { step: 'cgroup', detail: 'removed' })
    given(live)
      .fact(early)
      .then([event('LateResultObserved', { fact: early.type, data: early.data, status: 'RUNNING' })])
  })

  it('ends once', () => {
    const cleaned = event('RunCleaned', { failedSteps: [] })
    const state = given([...over, cleaned])
      .fact(event('RunCleaned', { failedSteps: ['cgroup'] }))
      .then([
        event('LateResultObserved', { fact: 'RunCleaned', data: { failedSteps: ['cgroup'] }, status: 'COMPLETED' }),
      ])
    expect(state?.cleanup).toMatchObject({ status: 'DONE', doneAt: time(4_000) })
  })
})

describe('facts that come late', () => {
  const over = [...live, turn(1), exited(0), completed]
  const facts = [
    started(),
    event('RunAdopted', { root: receipt().root ?? started().data.root }),
    turn(9),
    event('PhaseChanged', { phase: 'later' }),
    event('HeartbeatRecorded', { processes: 5 }),
    sigtermSent(),
    sigkillSent(),
    exited(9),
    { type: 'LaunchFailed' as const, data: { code: 'X', message: 'x' } },
    treeGone(),
    treeNotProven(),
  ]

  it.each(facts)('[M8] $type after the end is kept, and changes nothing', (fact) => {
    const before = stateAfter(over)
    const after = given(over)
      .fact(fact)
      .then([event('LateResultObserved', { fact: fact.type, data: fact.data, status: 'COMPLETED' })])
    expect(after).toEqual({ ...before, lateResults: 1, revision: before.revision + 1 })
  })

  it.each(facts)('[M8] $type of a run that nobody requested here is kept', (fact) => {
    given([])
      .fact(fact)
      .then([event('LateResultObserved', { fact: fact.type, data: fact.data, status: 'UNKNOWN' })])
  })

  it('counts the numbers of facts that came late, so that the host goes on above them', () => {
    const late = event('LateResultObserved', { fact: 'TurnCompleted', data: { turn: 9 }, status: 'COMPLETED' })
    expect(stateAfter([...over, placed({ fact: 12 }, late), placed({ fact: 11 }, late)])).toMatchObject({
      factSequence: 12,
      lateResults: 2,
    })
  })

  it('folds in the summary of the telemetry, whether it comes before or after the end', () => {
    const summary = event('TelemetrySummarised', {
      progressPercent: 80,
      lastOutput: 'bye',
      processes: 3,
      peakRssBytes: 4096,
      peakProcesses: 9,
      lastHeartbeatAt: time(2_500),
    })
    const expected = { progressPercent: 80, lastOutput: 'bye', peakRssBytes: 4096, lastHeartbeatAt: time(2_500) }
    const after = given(over).fact(summary).then([summary])
    expect(after).toMatchObject({ ...expected, status: 'COMPLETED', processes: 0 })
    expect(stateAfter([...live, turn(1), exited(0), summary, completed])).toMatchObject({ ...expected, processes: 0 })
  })
})
