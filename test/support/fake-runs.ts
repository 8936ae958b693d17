import type { Alert, RunDetails, RunEvent } from '../../src/cli/answers.ts'
import type { Receipt } from '../../src/domain/receipt.ts'

/** What a server would say of a run that lives; made up. */
export function fakeRun(changes: Partial<RunDetails> = {}): RunDetails {
  return {
    id: 'run_0123456789ab',
    workflow: 'BUILDER',
    workflowVersion: null,
    origin: 'LAUNCHED',
    status: 'RUNNING',
    killPhase: 'NONE',
    phase: 'initialization',
    turns: 0,
    progressPercent: null,
    pid: 4242,
    host: 'host_0123456789ab',
    requestedAt: '2026-11-21T03:00:00.000Z',
    startedAt: '2026-11-21T03:00:00.100Z',
    endedAt: null,
    lastHeartbeatAt: '2026-11-21T03:41:00.000Z',
    lastOutput: 'Now let me run the installation script to set everything up:',
    verdict: {
      verdict: 'STUCK',
      rule: 'STUCK_IN_INITIALIZATION',
      explanation: 'No turn in 41 min.',
      evidence: [{ fact: 'turns', value: '0' }],
    },
    command: ['sh', '-c', 'sleep 600'],
    workspacePath: '/somewhere',
    workspace: { kind: 'EXISTING', path: '/somewhere', repository: null, branch: null },
    salvage: null,
    labels: [],
    policy: {
      preset: 'STANDARD',
      graceMs: 10_000,
      deferLimitMs: 60_000,
      slowAfterMs: 300_000,
      initializationWarningMs: 1_500_000,
      stuckAfterMs: 2_400_000,
      onStuck: 'ALERT',
      totalTimeoutMs: 86_400_000,
      onTotalTimeout: 'ALERT',
    },
    limits: [],
    restartOf: null,
    restart: null,
    restartedAs: null,
    requestedBy: { kind: 'TOKEN', id: 'admin' },
    revision: 1,
    asOf: null,
    heartbeatsRetired: false,
    outputBytes: 61,
    processes: 2,
    cpuMs: 12,
    rssBytes: 3 * 2 ** 20,
    openFiles: 7,
    ioReadBytes: 2 ** 20,
    ioWriteBytes: 0,
    peakRssBytes: 3 * 2 ** 20,
    peakProcesses: 4,
    peakOpenFiles: 9,
    outOfMemory: null,
    cacheReadRatio: 0.936,
    lateResults: 0,
    usage: null,
    notices: [],
    kill: null,
    pause: null,
    pausedMs: 0,
    safeToKill: { safe: true, message: 'It is in no critical section.', sections: [], wouldDeferUntil: null },
    rootExit: null,
    failure: null,
    receipt: null,
    cleanup: { status: 'NONE', steps: [] },
    ...changes,
  }
}

/** What a server would have people know of it. */
export function fakeAlert(changes: Partial<Alert> = {}) {
  return {
    id: 'run_0123456789ab:STUCK',
    kind: 'STUCK',
    severity: 'CRITICAL' as const,
    runId: 'run_0123456789ab',
    workflow: 'BUILDER',
    message: 'No turn in 41 min.',
    evidence: [],
    raisedAt: '2026-11-21T03:40:00.000Z',
    resolvedAt: null,
    why: null,
    ...changes,
  }
}

const at = (seconds: number) => new Date(Date.parse('2026-11-21T03:41:07.000Z') + seconds * 1000).toISOString()
const process = (pid: number) => ({ pid, startTime: String(pid), bootId: 'boot', pidNamespace: '4026531836' })

export const provenReceipt: Receipt = {
  runId: 'run_0123456789ab',
  proven: true,
  level: 'cgroup-v2',
  root: process(4242),
  rootExit: { status: 143, at: at(0.02) },
  processes: [
    {
      identity: process(4242),
      command: 'sh -c sleep 600',
      foundBy: ['root', 'cgroup'],
      signals: [{ signal: 'SIGTERM', at: at(0.01) }],
      goneAt: at(0.02),
    },
    {
      identity: process(4243),
      command: 'ignores-sigterm',
      foundBy: ['cgroup'],
      signals: [
        { signal: 'SIGTERM', at: at(0.01) },
        { signal: 'SIGKILL', at: at(3) },
      ],
      goneAt: at(3.01),
    },
  ],
  processCount: 2,
  checks: [{ name: 'cgroup-empty', passed: true, detail: 'populated 0' }],
  timings: { requestedAt: at(0), sigtermAt: at(0.01), sigkillAt: at(3), emptyAt: at(3.01), provenAt: at(3.02) },
  notCovered: ['containers that a daemon started for the run'],
}

export const unprovenReceipt: Receipt = {
  ...provenReceipt,
  proven: false,
  processes: provenReceipt.processes.map((known, index) =>
    index === 0 ? known : { ...known, goneAt: null, state: 'D', wchan: 'nfs_wait_bit_killable' },
  ),
  checks: [
    { name: 'cgroup-empty', passed: false, detail: 'populated 1' },
    { name: 'no-marker', passed: null, detail: 'other accounts cannot be read' },
  ],
}

export const killedRun = fakeRun({
  status: 'KILLED',
  killPhase: 'DONE',
  pid: null,
  endedAt: at(3.02),
  revision: 6,
  rootExit: { status: 143, at: at(0.02) },
  kill: {
    ...{ kind: 'GRACEFUL', reason: 'stuck', requestedBy: { kind: 'TOKEN', id: 'admin' }, requestedAt: at(0) },
    deferral: null,
  },
  receipt: { json: provenReceipt },
  cleanup: { status: 'DONE', steps: [] },
})

export function fakeEvent(revision: number, type: string, summary: string): RunEvent {
  return {
    id: `00000000-0000-4000-8000-${String(revision).padStart(12, '0')}`,
    type,
    version: 1,
    revision,
    position: revision + 100,
    occurredAt: at(revision),
    recordedAt: at(revision),
    actor: { kind: 'HOST', id: 'host_0123456789ab' },
    correlationId: 'c',
    causationId: null,
    data: {},
    isKnown: true,
    summary,
  }
}

export const pageOf = <Node>(nodes: Node[], hasNextPage = false) => ({
  edges: nodes.map((node, index) => ({ node, cursor: `c${index}` })),
  pageInfo: {
    hasNextPage,
    hasPreviousPage: false,
    startCursor: null,
    endCursor: nodes.length === 0 ? null : `c${nodes.length - 1}`,
  },
})
