import type pg from 'pg'
import { z } from 'zod'
import type { Projector } from '../../../projections/projector.ts'
import { type RecordedAlertEvent, readAlertEvent } from '../../domain/alert-events.ts'
import type { RecordedEvent } from '../../domain/event.ts'
import type { EventStore } from '../../event-store/event-store.ts'
import { type Alert, alertPlaceSchema, openAlerts, placeOf } from './alerts.ts'
import { cursorsOf } from './cursor.ts'

/** An alert as it was right after it was raised or resolved. */
export type AlertChange = { alert: Alert; cursor: string }

/** How far the store's changes have come, and, among those that were open before, which came last; null: all have. */
const cursors = cursorsOf('alert changes', z.tuple([z.number().int().nonnegative(), alertPlaceSchema.nullable()]))

/**
 * Without a cursor the alerts that are open now, oldest first, then each change; with one, what comes after it. Without
 * gap or duplicate; ends on abort.
 * @throws InvalidCursor, ProjectionFailed, StoreUnavailable
 */
export async function* followAlerts(
  store: EventStore,
  projector: Projector,
  pool: pg.Pool,
  after: string | null,
  signal: AbortSignal,
): AsyncGenerator<AlertChange> {
  const [position, place] = after === null ? [await store.head(), undefined] : cursors.decode(after)
  if (place !== null) {
    await projector.waitFor(position, signal, 'alerts')
    for (const alert of await openAlerts(pool, place)) {
      if (signal.aborted) return
      // What has changed since comes below.
      if (!(await wasRaisedBefore(store, alert, position))) continue
      yield { alert, cursor: cursors.encode([position, placeOf(alert)]) }
    }
  }
  const filter = { streamPrefixes: ['alert-'] }
  for await (const { events } of store.subscribe({ after: position, filter, signal })) {
    for (const event of events) {
      const alert = await alertAfter(store, event)
      if (alert !== undefined) yield { alert, cursor: cursors.encode([event.position, null]) }
    }
  }
}

async function wasRaisedBefore(store: EventStore, alert: Alert, position: number): Promise<boolean> {
  for await (const last of store.readStream(`alert-${alert.key}`, { direction: 'backwards', maxCount: 1 })) {
    return last.type === 'AlertRaised' && last.position <= position
  }
  return false
}

/** undefined: of a newer version. */
async function alertAfter(store: EventStore, recorded: RecordedEvent): Promise<Alert | undefined> {
  const event = readAlertEvent(recorded)
  if (event === undefined) return undefined
  if (event.type === 'AlertRaised') return raised(event)
  for await (const before of store.readStream(event.stream, { from: event.revision - 1, maxCount: 1 })) {
    const known = readAlertEvent(before)
    if (known?.type !== 'AlertRaised') return undefined
    return { ...raised(known), resolvedAt: event.metadata.occurredAt, why: event.data.why }
  }
  return undefined
}

const raised = ({ stream, data, metadata }: Extract<RecordedAlertEvent, { type: 'AlertRaised' }>): Alert => ({
  key: stream.slice('alert-'.length),
  ...data,
  raisedAt: metadata.occurredAt,
  resolvedAt: null,
  why: null,
})
