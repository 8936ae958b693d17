import { describe, expect, it } from 'vitest'
import type { JudgeRun } from '../../../src/domain/decide.ts'
import { alertsDue, limitToKillFor } from '../../../src/domain/limits.ts'
import { type Policy, resolvePolicy } from '../../../src/domain/policy.ts'
import { given, stateAfter } from '../../support/decider-spec.ts'
import {
  event,
  identity,
  killRequested,
  phase,
  placed,
  receipt,
  requested,
  root,
  sigkillSent,
  started,
  time,
  turn,
  unproven,
} from '../../support/run-events.ts'

const minutes = 60_000
const startMs = 1_000
const sinceStart = (ms: number) => Date.parse(time(startMs + ms))
const under = (policy: Policy) => [requested({ policy }), started({ startedAt: time(startMs) })]
const standard = resolvePolicy()
const strict = resolvePolicy({ preset: 'strict' })
const judgeAt = (ms: number): JudgeRun => ({
  type: 'JudgeRun',
  now: sinceStart(ms),
  mayKill: true,
  telemetry: { progressPercent: null, lastHeartbeatAt: null, lastOutput: 'Reconnecting…' },
})
const turnAt = (ms: number) => placed({ occurredAt: time(startMs + ms) }, turn(1))
const ended = event('RunLost', { receipt: receipt() })

describe('[R16] policies', () => {
  it('standard warns at 5 min, kills what is stuck at 30 min, and alerts after 1 h', () => {
    expect(standard).toMatchObject({
      preset: 'standard',
      initializationWarningMs: 300_000,
      stuckAfterMs: 1_800_000,
      onStuck: 'kill',
      totalTimeoutMs: 3_600_000,
      onTotalTimeout: 'alert',
    })
  })

  it('strict kills at 300 s and at 3600 s', () => {
    expect(strict).toMatchObject({
      preset: 'strict',
      stuckAfterMs: 300_000,
      onStuck: 'kill',
      totalTimeoutMs: 3_600_000,
      onTotalTimeout: 'kill',
    })
  })

  it("a run's wishes come after its workflow's; a preset begins anew", () => {
    const workflow = { preset: 'strict', graceMs: 7 } as const
    expect(resolvePolicy(workflow, { totalTimeoutMs: 9 })).toEqual({ ...strict, graceMs: 7, totalTimeoutMs: 9 })
    expect(resolvePolicy(workflow, { preset: 'standard', stuckAfterMs: undefined })).toEqual(standard)
  })
})

describe('[R17] what the policy kills for', () => {
  it.each([
    ['strict', strict, 300_000, undefined],
    ['strict', strict, 300_001, 'STUCK'],
    ['standard', standard, 1_800_000, undefined],
    ['standard', standard, 1_800_001, 'STUCK'],
    ['observing', resolvePolicy({ onStuck: 'alert' }), 48 * 60 * minutes, undefined],
  ])('%s, in initialization', (_, policy, age, limit) => {
    expect(limitToKillFor(stateAfter(under(policy)), sinceStart(age))?.limit).toBe(limit)
  })

  it.each([
    ['strict', strict, 3_600_000, undefined],
    ['strict', strict, 3_600_001, 'TOTAL_TIMEOUT'],
    ['standard', standard, 48 * 60 * minutes, undefined],
  ])('%s, a run that makes its turns', (_, policy, age, limit) => {
    const busy = stateAfter([...under(policy), phase('build'), turnAt(minutes)])
    expect(limitToKillFor(busy, sinceStart(age))?.limit).toBe(limit)
  })

  it('names the timeout as its reason', () => {
    expect(limitToKillFor(stateAfter(under(strict)), sinceStart(301_000))?.reason).toBe(
      'Initialization timeout: 5m 1s in initialization with 0 turns; the limit is 5m. (policy strict)',
    )
    const busy = stateAfter([...under(strict), turnAt(minutes)])
    expect(limitToKillFor(busy, sinceStart(3_720_000))?.reason).toBe(
      'Total timeout: it has run for 1h 2m; the limit is 1h. (policy strict)',
    )
  })

  it('nothing that is not started, is being killed, or has ended', () => {
    const histories = [
      [requested({ policy: strict })],
      [...under(strict), killRequested()],
      [...under(strict), ended],
      [...under(strict), killRequested(), sigkillSent(), event('KillUnverified', { receipt: unproven() })],
    ]
    for (const history of histories) {
      expect(limitToKillFor(stateAfter(history), sinceStart(48 * 60 * minutes))).toBeUndefined()
    }
  })

  it('however the run spells its first phase', () => {
    const run = stateAfter([...under(strict), phase(' Initialization')])
    expect(limitToKillFor(run, sinceStart(301_000))?.limit).toBe('STUCK')
  })
})

describe('what nobody looked at is no age (invariant 9)', () => {
  const away = event('SamplingInterrupted', { gapMs: 40 * minutes, cause: 'agent-down' })

  it('neither for the verdict nor for a timeout', () => {
    const run = stateAfter([...under(strict), away])
    expect(limitToKillFor(run, sinceStart(45 * minutes))).toBeUndefined()
    expect(limitToKillFor(run, sinceStart(45 * minutes + 1))?.limit).toBe('STUCK')
  })

  it('a first turn that was made meanwhile is not late', () => {
    const run = stateAfter([...under(standard), away, turnAt(45 * minutes)])
    expect(alertsDue(run, sinceStart(46 * minutes))).toEqual([])
    given([...under(standard), away, turnAt(45 * minutes)])
      .when(judgeAt(46 * minutes))
      .then([])
  })

  it('a clock that was set back makes nobody young for ever', () => {
    const setBack = event('SamplingInterrupted', { gapMs: -60 * minutes, cause: 'clock-set' })
    const run = stateAfter([...under(strict), setBack])
    expect(limitToKillFor(run, sinceStart(-54 * minutes))?.limit).toBe('STUCK')
  })

  it('[R12] a registered process is as old as its registration', () => {
    const old = requested({
      policy: standard,
      origin: 'registered',
      launch: null,
      registered: { root, workspacePath: null },
    })
    const run = stateAfter([old, started({ startedAt: new Date(sinceStart(-48 * 60 * minutes)).toISOString() })])
    expect(limitToKillFor(run, sinceStart(0))).toBeUndefined()
    expect(limitToKillFor(run, sinceStart(31 * minutes))?.limit).toBe('STUCK')
  })
})

describe('judging a run', () => {
  const classified = (verdict: 'SLOW' | 'STUCK', previous: 'NORMAL' | 'SLOW') =>
    event('RunClassified', expect.objectContaining({ verdict, previous }))

  it('[R15] says nothing for as long as the verdict stays', () => {
    given(under(standard)).when(judgeAt(minutes)).then([])
    const slow = given(under(standard)).when(judgeAt(11 * minutes))
    slow.then([classified('SLOW', 'NORMAL')])
    const known = event('RunClassified', {
      ...{ verdict: 'SLOW', previous: 'NORMAL', rule: 'OVERDUE', explanation: '', evidence: [] },
    } as const)
    given([...under(standard), known])
      .when(judgeAt(12 * minutes))
      .then([])
  })

  it('[R17] records the verdict, then asks for the kill, with the evidence', () => {
    given(under(standard))
      .when(judgeAt(31 * minutes))
      .then([
        event('RunClassified', {
          verdict: 'STUCK',
          previous: 'NORMAL',
          rule: 'STUCK_IN_INITIALIZATION',
          explanation: '31m in initialization with 0 turns; the limit is 30m.',
          evidence: [
            { fact: 'turns', value: '0' },
            { fact: 'phase', value: 'initialization' },
            { fact: 'clockMs', value: '1860000' },
            { fact: 'lastOutput', value: 'Reconnecting…' },
          ],
        }),
        killRequested('graceful', {
          reason: 'Initialization timeout: 31m in initialization with 0 turns; the limit is 30m. (policy standard)',
        }),
      ])
  })

  it('[R20] kills nothing before the attempt has been recorded', () => {
    given(under(standard))
      .when({ ...judgeAt(31 * minutes), mayKill: false })
      .then([classified('STUCK', 'NORMAL')])
  })

  it('[R10] asks once, however often it judges', () => {
    const known = event('RunClassified', {
      ...{ verdict: 'STUCK', previous: 'NORMAL', rule: '', explanation: '', evidence: [] },
    } as const)
    given([...under(standard), known, killRequested()])
      .when(judgeAt(40 * minutes))
      .then([])
  })

  it('[M8] leaves alone what has ended, and what it does not know', () => {
    given([...under(standard), ended])
      .when(judgeAt(31 * minutes))
      .then({ rejected: { code: 'AlreadyEnded', status: 'LOST', endedAt: expect.any(String) } })
    given([])
      .when(judgeAt(0))
      .then({ rejected: { code: 'RunNotFound' } })
  })
})

describe('[R16] [R21] alerts', () => {
  const kinds = (history: Parameters<typeof stateAfter>[0], ms: number) =>
    alertsDue(stateAfter(history), sinceStart(ms)).map(({ kind }) => kind)

  it.each([
    [5 * minutes, []],
    [5 * minutes + 1, ['INITIALIZATION_WARNING']],
    [30 * minutes + 1, ['INITIALIZATION_WARNING', 'STUCK']],
    [60 * minutes + 1, ['INITIALIZATION_WARNING', 'STUCK', 'TOTAL_TIMEOUT']],
  ])('after %i ms in initialization', (age, expected) => {
    expect(kinds(under(standard), age)).toEqual(expected)
  })

  it('the warning says what comes next', () => {
    const message = (policy: Policy) => alertsDue(stateAfter(under(policy)), sinceStart(6 * minutes))[0]?.message
    expect(message(standard)).toBe('No turn yet after 6m in initialization; it will be killed at 30m.')
    expect(message(resolvePolicy({ onStuck: 'alert' }))).toBe(
      'No turn yet after 6m in initialization; it counts as stuck at 30m.',
    )
  })

  it('are over with the first turn, with the total timeout only at the end', () => {
    expect(kinds([...under(standard), turnAt(20 * minutes)], 25 * minutes)).toEqual([])
    expect(kinds([...under(standard), turnAt(20 * minutes)], 61 * minutes)).toEqual(['TOTAL_TIMEOUT'])
    expect(kinds([...under(standard), turnAt(20 * minutes), ended], 61 * minutes)).toEqual([])
  })

  it('[M1] a kill that could not be proven', () => {
    const history = [
      ...under(standard),
      killRequested(),
      sigkillSent(),
      event('KillUnverified', { receipt: unproven() }),
    ]
    expect(kinds(history, minutes)).toEqual(['KILL_UNVERIFIED'])
    expect(alertsDue(stateAfter(history), sinceStart(minutes))[0]?.message).toContain('something of it may still live')
  })

  it('[M1] names who is still there, where it waits, and that its slot is held', () => {
    const alive = (pid: number) => ({
      ...{ identity: identity(pid), command: 'cat', foundBy: ['root' as const], signals: [], goneAt: null },
      ...(pid === 4242 && { state: 'D', wchan: 'nfs_wait_bit_killable' }),
    })
    const receipt = unproven({ processes: [4242, 4243, 4244, 4245].map(alive), processCount: 4 })
    const history = [...under(standard), killRequested(), sigkillSent(), event('KillUnverified', { receipt })]
    expect(alertsDue(stateAfter(history), sinceStart(minutes))[0]?.message).toMatch(
      /still there: pid 4242 \(state D in nfs_wait_bit_killable\), pid 4243, pid 4244, 1 more\. It keeps its slot/,
    )
  })
})
