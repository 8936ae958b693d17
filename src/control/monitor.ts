import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { type RunAlertKind, runAlertKinds } from '../domain/alert-events.ts'
import { verdictOf } from '../domain/classify.ts'
import type { JudgeRun } from '../domain/decide.ts'
import type { Actor } from '../domain/event.ts'
import type { HostLink } from '../domain/host-link.ts'
import type { RunId } from '../domain/ids.ts'
import { alertsDue, type DueAlert, limitToKillFor, type PassedLimit } from '../domain/limits.ts'
import { isHeld } from '../domain/pause.ts'
import { isTerminal, type RunState } from '../domain/run-state.ts'
import { type EventStore, StoreUnavailable } from '../event-store/event-store.ts'
import { createAlertCalm } from './alert-calm.ts'
import { createAlertLog } from './alert-log.ts'
import type { AuditLog } from './audit-log.ts'
import { delayOrAbort } from './delay.ts'
import { type Executed, execute } from './execute.ts'
import type { HostDispatcher } from './host-dispatcher.ts'
import { createLiveRuns } from './live-runs.ts'
import type { Log } from './log.ts'
import { ask } from './queries/ask.ts'
import { findRuns } from './queries/runs.ts'

export type MonitorDeps = {
  store: EventStore
  pool: pg.Pool
  host: HostLink
  audit: AuditLog
  log: Log
  now: () => Date
  /** The host has been told about every run that it knew. Before that nobody is judged. */
  isReconciled: () => boolean
  tellOfKill: HostDispatcher['tellOfKill']
  /** Milliseconds between two checks of all live runs. */
  intervalMs: number
}

export type Monitor = {
  /** Checks until the signal aborts. @throws StoreUnavailable */
  run(signal: AbortSignal): Promise<void>
  /** One look at every live run of this host. @throws StoreUnavailable */
  check(): Promise<void>
}

const actor: Actor = { kind: 'monitor', id: 'monitor' }

/** A host that has not looked at a run for so many checks is not asked what it saw. */
const staleAfterChecks = 3

/**
 * R15–R17: judges live runs by the clock, records verdicts that changed, kills what the policy says must be killed
 * through the one path, and alerts people.
 *
 * It acts only on what it knows (invariant 9): on a run that its host has looked at just now, at the time of that look,
 * and once everything that was seen then is recorded.
 */
export function createMonitor(deps: MonitorDeps): Monitor {
  const { store, pool, host, audit, log, now } = deps
  const alerts = createAlertLog(store, actor, now)
  const calm = createAlertCalm()
  const liveRuns = createLiveRuns(pool, host.hostId)

  async function run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await check()
      await delayOrAbort(deps.intervalMs, signal)
    }
  }

  async function check(): Promise<void> {
    if (!deps.isReconciled()) return
    const open = await openAlerts(pool)
    for (const state of await liveRuns()) {
      await alone(state, () => checkRun(state, open.get(state.runId) ?? []))
      open.delete(state.runId)
    }
    for (const state of await findRuns(pool, [...open.keys()])) {
      if (isTerminal(state.status)) await alone(state, () => settle(state, [], open.get(state.runId) ?? []))
    }
  }

  async function settle(run: RunState, due: readonly DueAlert[], open: readonly RunAlertKind[]): Promise<void> {
    for (const alert of due) {
      calm.isDue(run, alert.kind)
      if (!open.includes(alert.kind)) await alerts.raise(run, alert)
    }
    for (const kind of open) {
      const isDue = due.some((alert) => alert.kind === kind)
      if (!isDue && calm.isOver(run, kind, now().getTime())) await alerts.resolve(run, kind, whyOver(run))
    }
  }

  /** What cannot be judged concerns nobody else. */
  async function alone({ runId }: RunState, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (error instanceof StoreUnavailable) throw error
      log.error({ err: error, runId }, 'the monitor could not check a run; the next check follows')
    }
  }

  async function checkRun(state: RunState, open: RunAlertKind[]): Promise<void> {
    const seenAt = await lastSeen(state)
    // While it is paused no clock passes anything, and what its clocks had passed before is neither news nor over.
    const known = seenAt === undefined || isHeld(state) ? timeless : runAlertKinds
    const isKnown = (kind: RunAlertKind) => known.includes(kind)
    if (seenAt !== undefined && isNews(state, seenAt)) await judge(state, seenAt)
    const due = alertsDue(state, seenAt ?? now().getTime()).filter(({ kind }) => isKnown(kind))
    await settle(state, due, open.filter(isKnown))
  }

  /** Milliseconds since the epoch; undefined: nobody has looked just now, or not all that was seen is recorded yet. */
  async function lastSeen({ runId, factSequence }: RunState): Promise<number | undefined> {
    const sample = await host.sampled(runId)
    if (sample === undefined || Math.min(factSequence, sample.acknowledged) < sample.factSequence) return undefined
    const at = Date.parse(sample.at)
    return now().getTime() - at > staleAfterChecks * deps.intervalMs ? undefined : at
  }

  /** The decision rests on the run's own stream; what is known here only says that there is one to make. */
  async function judge(state: RunState, seenAt: number): Promise<void> {
    const { runId, progressPercent, lastHeartbeatAt, lastOutput } = state
    const limit = limitToKillFor(state, seenAt)
    const command: JudgeRun = {
      type: 'JudgeRun',
      now: seenAt,
      mayKill: limit !== undefined,
      telemetry: { progressPercent, lastHeartbeatAt, lastOutput },
    }
    const context = { actor, correlationId: randomUUID() }
    const decide = () => execute(store, context, runId, command, now)
    if (limit === undefined) {
      await decide()
      return
    }
    const details = { kind: 'graceful', limit: limit.limit, policy: state.policy.preset }
    await audit.allowed(context, { action: 'killRun', target: runId, reason: limit.reason, details }, async () => {
      const executed = await decide()
      if (executed.ok) deps.tellOfKill(executed)
      return { result: executed, ...outcomeOf(executed, limit) }
    })
  }

  return { run, check }
}

/** The verdict has changed, or the policy says that the run should be killed. */
function isNews(state: RunState, seenAt: number): boolean {
  if (limitToKillFor(state, seenAt) !== undefined) return true
  return verdictOf(state, seenAt, state.policy) !== (state.classified?.verdict ?? 'NORMAL')
}

function outcomeOf(executed: Executed, { reason }: PassedLimit): { outcome: string; detail: string } {
  if (!executed.ok) return { outcome: executed.rejection.code, detail: 'It had ended meanwhile.' }
  return executed.state.kill?.reason === reason
    ? { outcome: 'ACCEPTED', detail: reason }
    : { outcome: 'NOT_DUE', detail: 'Something had happened meanwhile, and nothing was done.' }
}

/** Alerts that hold whenever the run was last looked at. */
const timeless: readonly RunAlertKind[] = ['KILL_UNVERIFIED']

function whyOver({ status, turns, phase }: RunState): string {
  if (isTerminal(status)) return `The run has ended as ${status}.`
  return turns > 0 ? `The run makes turns: ${turns} so far.` : `The run goes on, in phase ${phase}.`
}

async function openAlerts(pool: pg.Pool): Promise<Map<RunId, RunAlertKind[]>> {
  const rows = await ask<{ run_id: RunId; kind: RunAlertKind }>(
    pool,
    'SELECT run_id, kind FROM alerts WHERE resolved_at IS NULL AND kind = ANY($1)',
    [runAlertKinds],
  )
  const open = new Map<RunId, RunAlertKind[]>()
  for (const { run_id, kind } of rows) open.set(run_id, [...(open.get(run_id) ?? []), kind])
  return open
}
