import type { ProjectionStatus, Skip } from '../../projections/projector.ts'
import type { CanaryResult } from '../../src/control/canary-log.ts'
import type { Control, RequestContext, RunEventEntry } from '../../src/control/control.ts'
import type { Alert } from '../../src/control/queries/alerts.ts'
import type { RecordedRunEvent } from '../../src/domain/run-events.ts'
import type { RunState } from '../../src/domain/run-state.ts'
import { summarise } from '../../src/domain/summary.ts'
import { phasesOf } from '../../src/domain/timeline.ts'
import type { WorkflowVersion } from '../../src/domain/workflow.ts'
import type { StoreStats } from '../../src/event-store/event-store.ts'
import { stateAfter } from './decider-spec.ts'
import { hostId, killRequested, receipt, record, requested, runId, started, user } from './run-events.ts'

const history = [
  requested({
    launch: {
      driver: 'command',
      command: ['agent', '--api-key', 'hush', 'go'],
      workspace: { kind: 'TEMPORARY' },
      env: {},
      secretEnv: [],
    },
  }),
  started(),
]

export const liveRun: RunState = stateAfter(history)
export const liveRunEvents: RecordedRunEvent[] = record(history)
export const killedRun: RunState = stateAfter([
  ...history,
  killRequested(),
  { type: 'RunKilled', data: { rootExit: null, receipt: receipt() } },
])

export const builderWorkflow: WorkflowVersion = {
  name: 'BUILDER',
  version: 2,
  definition: {
    launch: {
      driver: 'command',
      command: ['agent', '--api-key', 'hush', 'go'],
      workspace: { kind: 'EXISTING', path: '/src' },
      env: { DEPTH: '2', A: '1', API_TOKEN: 'hush' },
      secretEnv: ['KEY'],
    },
    policy: { preset: 'strict', graceMs: 9_000 },
    labels: { team: 'core' },
  },
  definedAt: '2026-01-01T00:00:00.000Z',
  definedBy: user,
}

const openAlert: Alert = {
  key: '0123456789ab-stuck',
  kind: 'STUCK',
  severity: 'CRITICAL',
  runId,
  workflow: 'BUILDER',
  message: 'Initialization timeout: 31m in initialization with 0 turns; the limit is 30m. (policy standard)',
  evidence: [{ fact: 'turns', value: '0' }],
  raisedAt: '2026-01-01T00:31:00.000Z',
  resolvedAt: null,
  why: null,
}

/** Of a host, not of a run. */
const diskAlert: Alert = {
  ...openAlert,
  ...{ key: 'disk-0123456789ab-data', kind: 'LOW_DISK', runId: null, workflow: null, message: 'Only 1.0 GiB free.' },
}

const projectionSkip: Skip = {
  ...{ position: 7, type: 'RunStarted', stream: 'run-0123456789ab', error: 'indigestible' },
  ...{ skippedBy: user, skippedAt: '2026-01-01T00:00:00.000Z', reason: 'known bug' },
}

const projectionStatus: ProjectionStatus = {
  ...{ name: 'runs', version: 1, position: 9, lag: 0, state: 'running', skips: [projectionSkip] },
}

/** Of an engine that cannot tell much. */
const storeStats: StoreStats = {
  ...{ engine: 'kurrentdb', version: null, storeId: '00000000-0000-4000-8000-000000000000', head: 12 },
  ...{ events: null, retiredEvents: null, bytesOnDisk: null, streams: null, oldestAt: null, appendedPerSecond: null },
  newestAt: '2026-01-01T00:31:00.000Z',
}

const canaryResult: CanaryResult = {
  ...{ runId, host: hostId, trigger: 'request', requestedBy: user, outcome: 'PASSED', phase: null, message: null },
  ...{ startedAt: '2026-01-01T00:00:00.000Z', endedAt: '2026-01-01T00:00:01.000Z', level: 'cgroup-v2', processes: 3 },
  timings: { readyMs: 40, sigtermMs: 2, sigkillMs: 204, provenMs: 210, answeredMs: 240 },
}

/** A live source that a test drives, and that shows what became of its reader. */
export type FakeSource<Item> = {
  push(item: Item): void
  /** Completes it, as when a run has ended. */
  end(): void
  fail(error: Error): void
  open(signal: AbortSignal): AsyncIterable<Item>
  /** Readers that have been let go: their signal has aborted, and their generator has returned. */
  readonly aborted: number
  readonly returned: number
  readonly opened: number
}

export function fakeSource<Item>(): FakeSource<Item> {
  const items: Item[] = []
  let over: { error?: Error } | undefined
  let wake = Promise.withResolvers<void>()
  const counts = { opened: 0, aborted: 0, returned: 0 }
  const changed = () => {
    wake.resolve()
    wake = Promise.withResolvers()
  }

  async function* open(signal: AbortSignal): AsyncGenerator<Item> {
    counts.opened += 1
    signal.addEventListener('abort', () => {
      counts.aborted += 1
      changed()
    })
    try {
      for (let index = 0; !signal.aborted; ) {
        if (index < items.length) yield items[index++] as Item
        else if (over?.error) throw over.error
        else if (over) return
        else await wake.promise
      }
    } finally {
      counts.returned += 1
    }
  }

  return {
    push: (item) => {
      items.push(item)
      changed()
    },
    end: () => {
      over = {}
      changed()
    },
    fail: (error) => {
      over = { error }
      changed()
    },
    open,
    get opened() {
      return counts.opened
    },
    get aborted() {
      return counts.aborted
    },
    get returned() {
      return counts.returned
    },
  }
}

export type FakeControl = Control & {
  /** Every mutation that came through, with who asked. */
  calls: { method: string; context: RequestContext; input: unknown }[]
  refused: string[]
  /** What `killRun` got to know that its client has gone. */
  killSignal: AbortSignal | undefined
  sources: {
    runs: FakeSource<RunState>
    events: FakeSource<RunEventEntry>
    output: FakeSource<{ offset: number; next: number; text: string; ended: boolean }>
  }
}

export const entryOf = (event: RecordedRunEvent): RunEventEntry => ({ event, cursor: `cursor-${event.revision}` })

/** Not the real control: it knows one run and answers at once, so that what stands before it can be tested by itself. */
export function createFakeControl(changes: Partial<Control> = {}): FakeControl {
  const calls: FakeControl['calls'] = []
  const refused: string[] = []
  const sources: FakeControl['sources'] = { runs: fakeSource(), events: fakeSource(), output: fakeSource() }
  const called = (method: string, context: RequestContext, input: unknown) =>
    void calls.push({ method, context, input })
  const known = (id: string) => (id === runId ? liveRun : undefined)
  const fake: FakeControl = {
    calls,
    refused,
    sources,
    killSignal: undefined,
    async defineWorkflow(context, input) {
      called('defineWorkflow', context, input)
      return { type: 'DefineWorkflowAnswer', workflow: builderWorkflow, created: true }
    },
    async startRun(context, input) {
      called('startRun', context, input)
      return { type: 'StartRunAnswer', run: liveRun }
    },
    async killRun(context, input, signal) {
      called('killRun', context, input)
      fake.killSignal = signal
      return {
        type: 'KillRunAnswer',
        success: true,
        runId,
        killedAt: killedRun.endedAt,
        cleanupStatus: 'RUNNING',
        message: 'Killed.',
        joined: false,
        waitExpired: false,
        run: killedRun,
      }
    },
    async restartRun(context, input) {
      called('restartRun', context, input)
      const message = 'It takes its place.'
      return {
        ...{ type: 'RestartRunAnswer', newRunId: 'run_0123456789ff', run: liveRun, newRun: null, message },
        ...{ joined: false, waitExpired: true },
      }
    },
    async forceCompleteRun(context, input) {
      called('forceCompleteRun', context, input)
      const message = 'It goes on.'
      return { type: 'ForceCompleteRunAnswer', success: false, run: liveRun, message, joined: false, waitExpired: true }
    },
    async pauseRun(context, input) {
      called('pauseRun', context, input)
      const message = 'It is recorded.'
      return { type: 'PauseRunAnswer', success: false, run: liveRun, message, joined: false, waitExpired: true }
    },
    async resumeRun(context, input) {
      called('resumeRun', context, input)
      const message = 'The run goes on.'
      return { type: 'PauseRunAnswer', success: true, run: liveRun, message, joined: true, waitExpired: false }
    },
    async registerProcess(context, input) {
      called('registerProcess', context, input)
      return { type: 'RegisterProcessAnswer', run: liveRun }
    },
    async rebuildProjections(context, names) {
      called('rebuildProjections', context, names)
      return {
        type: 'RebuildProjectionsAnswer',
        projections: [{ name: 'runs', events: 3, durationMs: 1.5, passedOver: 0 }],
      }
    },
    async skipProjectionEvent(context, input) {
      called('skipProjectionEvent', context, input)
      return { type: 'SkipProjectionEventAnswer', projection: projectionStatus, skip: projectionSkip }
    },
    async runCanary(context) {
      called('runCanary', context, undefined)
      return { type: 'RunCanaryAnswer', result: canaryResult, joined: false }
    },
    recordRefusedAccess: (detail) => void refused.push(detail),
    run: async (id) => known(id),
    runs: async () => ({ items: [{ item: liveRun, cursor: 'c1' }], hasNextPage: true }),
    runAt: async (id) => known(id) && { ...liveRun, asOf: '2026-01-01T00:00:02.000Z', heartbeatsRetired: false },
    runEvents: async (id, { first }) => {
      if (known(id) === undefined) return undefined
      const items = liveRunEvents
        .slice(0, first)
        .map((event) => ({ item: entryOf(event), cursor: `cursor-${event.revision}` }))
      return { items, hasNextPage: items.length < liveRunEvents.length }
    },
    runTimeline: async (_id, { first }, upTo) => {
      const entries = liveRunEvents.filter(({ revision }) => revision <= (upTo ?? revision))
      const items = entries.slice(0, first).map((event) => ({
        item: { ...event, at: event.metadata.occurredAt, actor: event.metadata.actor, summary: summarise(event) },
        cursor: `cursor-${event.revision}`,
      }))
      return { items, hasNextPage: items.length < entries.length }
    },
    runPhases: async (_id, upTo) => phasesOf(liveRunEvents.filter(({ revision }) => revision <= (upTo ?? revision))),
    openSections: async () => [],
    runOutput: async (id, offset) => known(id) && { offset, next: offset + 5, text: 'hello', ended: false },
    alerts: async () => ({
      items: [openAlert, diskAlert].map((item, index) => ({ cursor: `l${index}`, item })),
      hasNextPage: false,
    }),
    audit: async () => ({
      items: [
        {
          cursor: 'a1',
          item: {
            attemptId: '00000000-0000-4000-8000-000000000001',
            runId,
            target: runId,
            action: 'killRun',
            actor: user,
            correlationId: 'test',
            at: '2026-01-01T00:00:00.000Z',
            reason: null,
            details: { force: true },
            decision: 'allowed' as const,
            why: 'holds the admin token',
            outcome: null,
            completedAt: null,
            detail: null,
          },
        },
      ],
      hasNextPage: false,
    }),
    workflow: async (name) => (name === builderWorkflow.name ? builderWorkflow : undefined),
    workflows: async () => ({ items: [{ item: builderWorkflow, cursor: 'w1' }], hasNextPage: false }),
    workflowVersions: async () => ({ items: [{ item: builderWorkflow, cursor: 'v2' }], hasNextPage: true }),
    hosts: async () => [
      {
        hostId,
        hostname: 'box',
        platform: 'linux-x64',
        bootId: 'b',
        level: 'cgroup-v2',
        levelDetail: 'cgroup.kill is there',
        checks: [{ name: 'cgroup', ok: true, detail: 'found' }],
        slots: { capacity: 4, used: 1, waiting: 0 },
        disks: [
          {
            ...{ place: 'data', path: '/var/lib/runwarden', places: ['data', 'runs'], failure: null },
            ...{ freeBytes: 2 ** 30, totalBytes: 2 ** 33, seenAt: '2026-01-01T00:31:00.000Z' },
          },
        ],
      },
    ],
    canary: async (last) => ({
      ...{ intervalMs: 900_000, nextAt: '2026-01-01T00:15:00.000Z', running: false },
      results: [canaryResult].slice(0, last),
    }),
    projections: async () => [projectionStatus],
    storeStats: async () => storeStats,
    followAlerts: async function* () {
      yield { alert: openAlert, cursor: 'c1' }
    },
    followRuns: (_filter, signal) => sources.runs.open(signal),
    followRunEvents: (_id, _after, signal) => sources.events.open(signal),
    followRunOutput: (_id, _offset, signal) => sources.output.open(signal),
    readiness: async () => ({ ready: true, checks: [{ name: 'store', ok: true, detail: 'answers' }] }),
    ...changes,
  }
  return fake
}
