import type pg from 'pg'
import type { Projector } from '../../projections/projector.ts'
import { workflows as workflowsProjection } from '../../projections/workflows.ts'
import type { HostLink } from '../domain/host-link.ts'
import { runIdSchema } from '../domain/ids.ts'
import type { LowDiskThreshold } from '../domain/low-disk.ts'
import type { RunState } from '../domain/run-state.ts'
import { type EventStore, type Retention, StoreUnavailable } from '../event-store/event-store.ts'
import { createAuditLog } from './audit-log.ts'
import { type AuditSpool, keepFlushing } from './audit-spool.ts'
import { createCanary } from './canary.ts'
import type { Control, Readiness, ReadinessCheck, StoreUnavailableFailure } from './control.ts'
import { defineWorkflow } from './define-workflow.ts'
import { createDiskAlerts } from './disk-alerts.ts'
import { createFactRecorder } from './fact-recorder.ts'
import { forceCompleteRun } from './force-complete-run.ts'
import { gatedStore } from './gated-store.ts'
import { createHostDispatcher, type DispatchCheckpoint } from './host-dispatcher.ts'
import { hurriedStore } from './hurried-store.ts'
import { decoyInputSchema } from './inputs.ts'
import { keepRunning } from './keep-running.ts'
import { killRun } from './kill-run.ts'
import type { Log } from './log.ts'
import { createMonitor } from './monitor.ts'
import { pauseRun } from './pause-run.ts'
import { listAlerts } from './queries/alerts.ts'
import { listAudit } from './queries/audit.ts'
import { followAlerts } from './queries/follow-alerts.ts'
import { followRuns } from './queries/follow-runs.ts'
import { runAt } from './queries/run-at.ts'
import { followRunEvents, listRunEvents } from './queries/run-history.ts'
import { findRun, listRuns } from './queries/runs.ts'
import { listPhases, listTimeline } from './queries/timeline.ts'
import { findWorkflow, listWorkflows, listWorkflowVersions, namesLike } from './queries/workflows.ts'
import { rebuildProjections } from './rebuild-projections.ts'
import { createRefusedAccess } from './refused-access.ts'
import { registerProcess } from './register-process.ts'
import { restartRun } from './restart-run.ts'
import { keepRetiring, standardTelemetryRetention } from './retention.ts'
import { runCanary } from './run-canary.ts'
import { createRunFeed } from './run-feed.ts'
import { followRunOutput, readRunOutput } from './run-output.ts'
import { skipProjectionEvent } from './skip-projection-event.ts'
import { startRun } from './start-run.ts'
import type { UseCaseDeps } from './use-case.ts'

export type ControlDeps = {
  store: EventStore
  projector: Projector
  pool: pg.Pool
  host: HostLink
  checkpoint: DispatchCheckpoint
  auditSpool: AuditSpool
  log: Log
  now: () => Date
  /** Milliseconds between two checks of the monitor, as between two looks of the host. */
  checkIntervalMs: number
  /** Milliseconds from one readiness canary to the next; 0, the standard: only on request. */
  canaryIntervalMs?: number
  /** Below which free space of its host people are alerted; standard: never. */
  lowDisk?: LowDiskThreshold
  /** Of the heartbeats of a run that has ended. */
  telemetryRetention?: Retention
  /** undefined once the store can be used; until then why it cannot. */
  storeAway: () => string | undefined
}

export type RunningControl = Control & {
  /** Begins to work with the host: the store is there, and it is the one that the data directory belongs to. */
  start(): Promise<void>
  close(): Promise<void>
}

/** A mutation answers from the projection when that follows within this; else from the events themselves. */
const projectionWaitMs = 2_000
const withoutStore =
  'Try again once /readyz says that it is back; an emergency kill ("emergency: true", --emergency) does not need it.'
/** So long a kill waits at most for a database that hangs, before it goes on without it. */
const hurryMs = 2_000

export function createControl(deps: ControlDeps): RunningControl {
  const { projector, pool, host, log, now } = deps
  let opened = false
  const away = () => deps.storeAway() ?? (opened ? undefined : 'It is being opened.')
  /** The doors' way to the store. */
  const store = gatedStore(deps.store, away)
  const closing = new AbortController()
  const feed = createRunFeed(store)
  const dispatcher = createHostDispatcher(deps.store, host, deps.checkpoint, log, now)
  const recorder = createFactRecorder(deps.store, host, log, deps.telemetryRetention ?? standardTelemetryRetention)
  const auditIn = (recordedIn: EventStore) =>
    createAuditLog(recordedIn, deps.auditSpool, now, (position) => followed(position, ['audit']))
  const audit = auditIn(store)
  const atOnce = hurriedStore(store, hurryMs)
  const hurried = { store: atOnce, audit: auditIn(atOnce) }
  const refusedAccess = createRefusedAccess(audit, log)
  const monitor = createMonitor({
    ...{ store, pool, host, log, now, intervalMs: deps.checkIntervalMs },
    // Nobody reads an answer of the monitor, and with a slow projection each wait would hold up the run after it.
    audit: createAuditLog(store, deps.auditSpool, now, async () => {}),
    isReconciled: () => dispatcher.reconciled,
    tellOfKill: dispatcher.tellOfKill,
  })
  const canary = createCanary({
    ...{ store, host, now, intervalMs: deps.canaryIntervalMs ?? 0, isReconciled: () => dispatcher.reconciled },
    control: {
      // Like any client of this control, but for the name of its workflow.
      startRun: (context, input) => orUnavailable(() => startRun(useCase, context, input, decoyInputSchema)),
      killRun: (context, input, signal) => control.killRun(context, input, signal),
      runOutput: (id, offset, maxBytes) => control.runOutput(id, offset, maxBytes),
    },
  })
  const lowDisk = deps.lowDisk ?? { bytes: 0, percent: 0 }
  const disks = createDiskAlerts({ store, host, log, now, threshold: lowDisk, intervalMs: deps.checkIntervalMs })
  const useCase: UseCaseDeps = {
    ...{ store, host, audit, feed, hurried, now, projected, tellOfKill: dispatcher.tellOfKill },
    workflowsFollowed: (position) => followed(position, [workflowsProjection.name]),
    workflowNamesLike,
  }
  let loops: Promise<unknown> = Promise.resolve()

  async function start(): Promise<void> {
    const head = await deps.store.head()
    await dispatcher.prepare()
    opened = true
    const { signal } = closing
    loops = Promise.all([
      keepRunning('run feed', () => feed.follow(head, signal), log, signal),
      keepRunning('host dispatcher', () => dispatcher.run(signal), log, signal),
      keepRunning('fact recorder', () => recorder.run(signal), log, signal),
      keepRunning('monitor', () => monitor.run(signal), log, signal),
      keepRunning('disk alerts', () => disks.run(signal), log, signal),
      keepRunning('canary', () => canary.run(signal), log, signal),
      keepRunning('retention', () => keepRetiring(store, log, signal), log, signal),
      keepRunning('audit spool', () => keepFlushing(deps.auditSpool, store, signal), log, signal),
    ])
  }

  async function close(): Promise<void> {
    closing.abort()
    await loops
    await dispatcher.settle()
    await refusedAccess.settle()
  }

  async function projected(state: RunState, position: number): Promise<RunState> {
    await followed(position, projector.namesOf('run-'))
    try {
      const row = await findRun(pool, state.runId)
      return row !== undefined && row.revision >= state.revision ? row : state
    } catch (error) {
      log.warn({ err: error, runId: state.runId }, 'answering from the events: the row cannot be read')
      return state
    }
  }

  /** For a hint in a refusal, which must not fail because the hint cannot be given. */
  async function workflowNamesLike(name: string): Promise<string[]> {
    try {
      return await namesLike(pool, name)
    } catch (error) {
      log.warn({ err: error }, 'no names are suggested: the workflows cannot be read')
      return []
    }
  }

  /** So that whoever asks again, in GraphQL or in SQL, finds what the answer says. Bounded: it is a courtesy. */
  async function followed(position: number, names: readonly string[]): Promise<void> {
    const signal = AbortSignal.any([AbortSignal.timeout(projectionWaitMs), closing.signal])
    const waits = await Promise.allSettled(names.map((name) => projector.waitFor(position, signal, name)))
    for (const wait of waits) {
      if (wait.status === 'rejected') log.warn({ err: wait.reason, position }, 'a projection did not follow in time')
    }
  }

  /** Mutations answer with a typed failure where the store is away; whatever else goes wrong is thrown. */
  async function orUnavailable<Result>(
    work: () => Promise<Result>,
    wayOut = 'Try again; /readyz says when the store is back.',
  ): Promise<Result | StoreUnavailableFailure> {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      return {
        type: 'StoreUnavailable',
        message:
          `The event store is away: ${error.message} Nothing was signalled by this request. ` +
          `Kills that were accepted before go on. ${wayOut}`,
      }
    }
  }

  /** What reads the projections' tables says in the same words why it cannot. */
  async function available<Result>(read: () => Promise<Result>): Promise<Result> {
    const why = away()
    if (why !== undefined) throw new StoreUnavailable(why)
    return read()
  }

  async function readiness(): Promise<Readiness> {
    const checks: ReadinessCheck[] = [await storeCheck(), ...(await projectionChecks()), hostCheck()]
    checks.push(await journalCheck(), factsCheck(), canary.check(), await disks.check())
    return { ready: checks.every(({ ok, advisory }) => ok || advisory), checks }
  }

  async function storeCheck() {
    try {
      const head = await store.head()
      return { name: 'event-store', ok: true, detail: `its last event is at position ${head}` }
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      return { name: 'event-store', ok: false, detail: error.message }
    }
  }

  async function projectionChecks() {
    if (away() !== undefined) return []
    const projections = await projector.status()
    return projections.map(({ name, state, lag, error }) => ({
      name: `projection:${name}`,
      ok: state === 'running' || state === 'standby',
      detail: (error ?? lag === 0) ? `${state}, up to date` : `${state}, ${lag ?? 'unknown'} positions behind`,
    }))
  }

  const hostCheck = () => ({
    name: 'host',
    ok: dispatcher.reconciled,
    detail: dispatcher.reconciled ? 'reconciled' : 'not yet reconciled with the event store',
  })

  /** A host that can keep its facts in memory only would forget them in a crash. */
  async function journalCheck() {
    const { checks } = await host.report()
    const failed = checks.find(({ name, ok }) => name === 'journals' && !ok)
    return { name: 'journals', ok: failed === undefined, detail: failed?.detail ?? 'all facts are on the disk' }
  }

  function factsCheck() {
    const stuck = recorder.stuck()
    const detail = stuck.map(({ runId, error }) => `${runId}: ${error}`).join('; ')
    return { name: 'facts', ok: stuck.length === 0, detail: detail || 'all recorded' }
  }

  const untilClosed = (signal: AbortSignal) => AbortSignal.any([signal, closing.signal])

  const control: RunningControl = {
    start,
    close,
    defineWorkflow: (context, input) => orUnavailable(() => defineWorkflow(useCase, context, input)),
    startRun: (context, input) => orUnavailable(() => startRun(useCase, context, input)),
    killRun: (context, input, signal = closing.signal) =>
      orUnavailable(() => killRun(useCase, context, input, untilClosed(signal)), withoutStore),
    restartRun: (context, input, signal = closing.signal) =>
      orUnavailable(() => restartRun(useCase, context, input, untilClosed(signal))),
    forceCompleteRun: (context, input, signal = closing.signal) =>
      orUnavailable(() => forceCompleteRun(useCase, context, input, untilClosed(signal))),
    pauseRun: (context, input, signal = closing.signal) =>
      orUnavailable(() => pauseRun(useCase, context, 'pauseRun', input, untilClosed(signal))),
    resumeRun: (context, input, signal = closing.signal) =>
      orUnavailable(() => pauseRun(useCase, context, 'resumeRun', input, untilClosed(signal))),
    registerProcess: (context, input) => orUnavailable(() => registerProcess(useCase, context, input)),
    rebuildProjections: (context, names) =>
      orUnavailable(() => available(() => rebuildProjections(projector, audit, context, names, closing.signal))),
    skipProjectionEvent: (context, input) =>
      orUnavailable(() =>
        available(() => skipProjectionEvent(projector, audit, context, input, now(), closing.signal)),
      ),
    runCanary: (context) => orUnavailable(() => runCanary(canary, audit, context, closing.signal)),
    recordRefusedAccess: (detail) => refusedAccess.record(detail),

    run: (id) => available(async () => (runIdSchema.safeParse(id).success ? findRun(pool, id) : undefined)),
    runs: (filter, page) => available(() => listRuns(pool, filter, page)),
    runAt: (id, moment) => runAt(store, id, moment, now()),
    runEvents: (id, page) => listRunEvents(store, id, page),
    runTimeline: (id, page, upTo) => available(() => listTimeline(pool, id, page, upTo ?? undefined)),
    runPhases: (id, upTo) => listPhases(store, id, upTo ?? undefined),
    openSections: (id) => host.openSections(id),
    runOutput: (id, offset, maxBytes) => readRunOutput(host, id, offset, maxBytes),
    alerts: (filter, page) => available(() => listAlerts(pool, filter, page)),
    audit: (filter, page) => available(() => listAudit(pool, filter, page)),
    workflow: (name, version) => available(() => findWorkflow(pool, name, version)),
    workflows: (page) => available(() => listWorkflows(pool, page)),
    workflowVersions: (name, page) => available(() => listWorkflowVersions(pool, name, page)),
    canary: async (last) => ({ ...canary.status, results: await canary.results(last) }),
    hosts: async () => [await host.report()],
    storeStats: () => store.stats(),
    projections: () => available(() => projector.status()),

    followAlerts: (after, signal) => followAlerts(store, projector, pool, after, untilClosed(signal)),
    followRuns: (filter, signal) => followRuns(store, projector, pool, filter, untilClosed(signal)),
    followRunEvents: (id, after, signal) => followRunEvents(store, id, after, untilClosed(signal)),
    followRunOutput: (id, offset, signal) => followRunOutput(host, feed, id, offset, untilClosed(signal)),

    readiness,
  }
  return control
}
