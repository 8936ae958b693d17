import { randomUUID } from 'node:crypto'
import {
  type AlertEventBody,
  alertEvents,
  alertStream,
  type RecordedAlertEvent,
  type RunAlertKind,
  readAlertEvent,
  severityOf,
} from '../domain/alert-events.ts'
import type { Actor, NewEvent } from '../domain/event.ts'
import type { DueAlert } from '../domain/limits.ts'
import { versionIn } from '../domain/read-event.ts'
import type { RunState } from '../domain/run-state.ts'
import type { EventStore } from '../event-store/event-store.ts'

/** Raises and resolves alerts. Each is open at most once at a time, whoever raises it, and however often. */
export type AlertLog = {
  /** @throws StoreUnavailable */
  raise(run: RunState, alert: DueAlert): Promise<void>
  /** @throws StoreUnavailable */
  resolve(run: RunState, kind: RunAlertKind, why: string): Promise<void>
}

export function createAlertLog(store: EventStore, actor: Actor, now: () => Date): AlertLog {
  async function lastOf(stream: string): Promise<RecordedAlertEvent | undefined> {
    for await (const event of store.readStream(stream, { direction: 'backwards', maxCount: 1 })) {
      return readAlertEvent(event)
    }
    return undefined
  }

  /** Somebody who was quicker has done it: the next check sees what is left to do. */
  async function append(run: RunState, kind: RunAlertKind, body: AlertEventBody, expected: number | 'no-stream') {
    const { correlationId, eventId: causationId } = run.cause
    const metadata = { eventId: randomUUID(), actor, correlationId, causationId, occurredAt: now().toISOString() }
    const event: NewEvent = { ...body, v: versionIn(alertEvents, body.type), metadata }
    await store.append(alertStream(run.runId, kind), [event], expected)
  }

  return {
    async raise(run, { kind, message, evidence }) {
      const last = await lastOf(alertStream(run.runId, kind))
      if (last?.type === 'AlertRaised') return
      const { runId, workflow } = run
      const data = { kind, severity: severityOf[kind], runId, workflow, message: message.slice(0, 1000), evidence }
      await append(run, kind, { type: 'AlertRaised', data }, last?.revision ?? 'no-stream')
    },
    async resolve(run, kind, why) {
      const last = await lastOf(alertStream(run.runId, kind))
      if (last?.type !== 'AlertRaised') return
      await append(run, kind, { type: 'AlertResolved', data: { why } }, last.revision)
    },
  }
}
