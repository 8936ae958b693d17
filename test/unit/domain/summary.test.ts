import { describe, expect, it } from 'vitest'
import type { RecordedEvent } from '../../../src/domain/event.ts'
import { launchSpecSchema } from '../../../src/domain/launch.ts'
import type { RunEventBody } from '../../../src/domain/run-events.ts'
import { summarise } from '../../../src/domain/summary.ts'
import {
  event,
  exited,
  identity,
  killRequested,
  phase,
  receipt,
  record,
  requested,
  root,
  sigkillSent,
  sigtermSent,
  started,
  time,
  turn,
  unproven,
} from '../../support/run-events.ts'

const summaryOf = (body: RunEventBody) => summarise(record([body])[0] as RecordedEvent)

describe('[R26] an event in one line', () => {
  const alive = {
    identity: identity(77),
    command: 'x',
    foundBy: ['marker' as const],
    signals: [],
    goneAt: null,
    state: 'D',
  }
  it.each<[RunEventBody, string]>([
    [requested(), 'BUILDER requested by user ada: sleep with 1 argument'],
    [
      requested({ origin: 'registered', launch: null, registered: { root, workspacePath: null } }),
      'BUILDER registered by user ada: process 4242',
    ],
    [
      requested({ restartOf: 'run_ffffffffffff', workflowVersion: 3 }),
      'BUILDER (version 3) requested by user ada in place of run_ffffffffffff: sleep with 1 argument',
    ],
    [started({ attempt: 2, workspacePath: null }), 'started: process 4242, at attempt 2'],
    [started(), 'started: process 4242 in /tmp/workspace'],
    [started({ workspacePath: null }), 'started: process 4242'],
    [event('RunAdopted', { root }), 'adopted: the host agent is back and supervises process 4242 again'],
    [phase('testing'), 'phase: testing'],
    [turn(3), 'turn 3 completed'],
    [killRequested(), 'graceful kill requested by user ada, grace 3s: it hangs'],
    [killRequested('force', { reason: null }), 'force kill requested by user ada'],
    [sigtermSent(), 'SIGTERM sent to 2 processes'],
    [sigkillSent('leftovers'), 'SIGKILL sent to 1 process that outlived the root'],
    [exited(143), 'root process ended with status 143 (as after SIGTERM)'],
    [exited(1), 'root process ended with status 1'],
    [exited(null), 'root process ended with a status that nobody recorded'],
    [
      event('RunKilled', { rootExit: null, receipt: receipt({ processCount: 6 }) }),
      'killed: proven dead in 1s, 6 processes seen (cgroup-v2)',
    ],
    [
      event('RunKilled', { rootExit: null, receipt: receipt({ root: null }) }),
      'killed: no process had been launched (cgroup-v2)',
    ],
    [
      event('KillUnverified', { receipt: unproven({ processes: [alive] }) }),
      'kill not proven: 1 process alive: 77 (D)',
    ],
    [event('KillUnverified', { receipt: unproven() }), 'kill not proven: cgroup-empty: populated 0'],
    [
      event('RunCompleted', { rootExit: { status: 0, at: time(1) }, receipt: receipt() }),
      'completed: proven dead in 1s, 1 process seen (cgroup-v2)',
    ],
    [
      event('RunFailed', { reason: 'LAUNCH_FAILED', message: 'no such file', rootExit: null, receipt: null }),
      'could not be launched: no such file',
    ],
    [
      event('RunLost', { receipt: receipt() }),
      'lost: how it ended nobody knows; proven dead in 1s, 1 process seen (cgroup-v2)',
    ],
    [event('CleanupStepCompleted', { step: 'cgroup', detail: 'removed' }), 'cleanup, cgroup: removed'],
    [
      event('CleanupStepFailed', { step: 'cgroup', error: 'busy', attempt: 2, willRetry: true }),
      'cleanup, cgroup failed (attempt 2, will be tried again): busy',
    ],
    [event('RunCleaned', { failedSteps: [] }), 'cleaned up'],
    [event('RunCleaned', { failedSteps: ['cgroup', 'locks'] }), 'cleaned up, except for cgroup, locks'],
    [
      event('LateResultObserved', { fact: 'TurnCompleted', data: { turn: 7 }, status: 'KILLED' }),
      'late, and changed nothing (the run was KILLED): turn 7 completed',
    ],
    [
      event('LateResultObserved', { fact: 'TreeGone', data: { receipt: receipt() }, status: 'FAILED' }),
      'late, and changed nothing (the run was FAILED): proven dead in 1s, 1 process seen (cgroup-v2)',
    ],
    [
      event('LateResultObserved', { fact: 'OfANewerVersion', data: {}, status: 'KILLED' }),
      'late, and changed nothing (the run was KILLED): OfANewerVersion',
    ],
    [
      event('SamplingInterrupted', { gapMs: 60_000, cause: 'suspended' }),
      'nobody looked for 1m: the machine slept, or the host agent was stopped',
    ],
    [event('SamplingInterrupted', { gapMs: -60_000, cause: 'clock-set' }), 'the clock was set back by 1m'],
    [
      event('HeartbeatRecorded', { progressPercent: 40, processes: 3, cpuMs: 2_500, rssBytes: 5 * 1024 * 1024 }),
      'heartbeat: 40 %, 3 processes, 2s of CPU, 5 MiB resident',
    ],
    [event('HeartbeatRecorded', {}), 'heartbeat: nothing new'],
    [
      event('TelemetrySummarised', { outputBytes: 12, peakProcesses: 4, peakRssBytes: 2 ** 20 }),
      'telemetry, all told: at most 4 processes, at most 1 MiB, 12 bytes of output',
    ],
    [
      event('TelemetrySummarised', { outOfMemory: { kills: 1, limitHits: 3, limitBytes: 2 ** 29 } }),
      'telemetry, all told: out of memory: its cgroup hit memory.max (512.0 MiB), 1 process OOM-killed',
    ],
    [
      event('TelemetrySummarised', { outOfMemory: { kills: 2, limitHits: 0, limitBytes: null } }),
      'telemetry, all told: out of memory: 2 processes OOM-killed by the kernel, though no limit of its own cgroup was hit',
    ],
  ])('%j', (body, summary) => {
    expect(summaryOf(body)).toBe(summary)
  })

  it('names the monitor once', () => {
    const [kill] = record([{ ...killRequested('force'), actor: { kind: 'monitor', id: 'monitor' } }])
    expect(summarise(kill as RecordedEvent)).toBe('force kill requested by monitor: it hangs')
  })

  it('shows no argument of a command line', () => {
    const launch = launchSpecSchema.parse({ command: ['curl', '-H', 'Authorization: Bearer secret'] })
    expect(summaryOf(requested({ launch }))).not.toContain('secret')
  })

  it('is one line without control characters, and no longer than 300 characters', () => {
    expect(summaryOf(phase('a\n\u001b[31mb\u0000\u202ec'))).toBe('phase: a [31mb c')
    const long = summaryOf(killRequested('force', { reason: '😀'.repeat(1_000) }))
    expect(long.length).toBeLessThanOrEqual(300)
    expect(long.isWellFormed()).toBe(true)
  })

  it('of an event that a newer version wrote is its type and version', () => {
    const [unknown] = record([turn(1)])
    expect(summarise({ ...(unknown as RecordedEvent), type: 'RunTeleported' })).toBe(
      'RunTeleported v1, which this Runwarden does not know',
    )
  })
})
