import {
  type AlertEventBody,
  alertStream,
  type RecordedAlertEvent,
  type RunAlertKind,
  severityOf,
} from '../domain/alert-events.ts'
import type { Actor } from '../domain/event.ts'
import type { DueAlert } from '../domain/limits.ts'
import type { RunState } from '../domain/run-state.ts'
import type { EventStore } from '../event-store/event-store.ts'
import { appendToAlert, lastAlertEvent } from './alert-stream.ts'

/** Raises and resolves alerts. Each is open at most once at a time, whoever raises it, and however often. */
export type AlertLog = {
  /** @throws StoreUnavailable */
  raise(run: RunState, alert: DueAlert): Promise<void>
  /** @throws StoreUnavailable */
  resolve(run: RunState, kind: RunAlertKind, why: string): Promise<void>
}

export function createAlertLog(store: EventStore, actor: Actor, now: () => Date): AlertLog {
  async function append(run: RunState, kind: RunAlertKind, body: AlertEventBody, last: RecordedAlertEvent | undefined) {
    const { correlationId, eventId: causationId } = run.cause
    const metadata = { actor, correlationId, causationId, occurredAt: now().toISOString() }
    await appendToAlert(store, alertStream(run.runId, kind), body, metadata, last)
  }

  return {
    async raise(run, { kind, message, evidence }) {
      const last = await lastAlertEvent(store, alertStream(run.runId, kind))
      if (last?.type === 'AlertRaised') return
      const { runId, workflow } = run
      const data = { kind, severity: severityOf[kind], runId, workflow, message: message.slice(0, 1000), evidence }
      await append(run, kind, { type: 'AlertRaised', data }, last)
    },
    async resolve(run, kind, why) {
      const last = await lastAlertEvent(store, alertStream(run.runId, kind))
      if (last?.type !== 'AlertRaised') return
      await append(run, kind, { type: 'AlertResolved', data: { why } }, last)
    },
  }
}
