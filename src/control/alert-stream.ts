import { randomUUID } from 'node:crypto'
import { type AlertEventBody, alertEvents, type RecordedAlertEvent, readAlertEvent } from '../domain/alert-events.ts'
import type { EventMetadata, NewEvent } from '../domain/event.ts'
import { versionIn } from '../domain/read-event.ts'
import type { EventStore } from '../event-store/event-store.ts'

/** What was last said in the stream of an alert; undefined: it was never raised. @throws StoreUnavailable */
export async function lastAlertEvent(store: EventStore, stream: string): Promise<RecordedAlertEvent | undefined> {
  for await (const event of store.readStream(stream, { direction: 'backwards', maxCount: 1 })) {
    return readAlertEvent(event)
  }
  return undefined
}

/**
 * Says the next thing after the last one. Where somebody was quicker nothing is appended: whoever looks again sees what
 * is left to do.
 * @throws StoreUnavailable
 */
export async function appendToAlert(
  store: EventStore,
  stream: string,
  body: AlertEventBody,
  metadata: Omit<EventMetadata, 'eventId'>,
  last: RecordedAlertEvent | undefined,
): Promise<void> {
  const event: NewEvent = {
    ...body,
    v: versionIn(alertEvents, body.type),
    metadata: { eventId: randomUUID(), ...metadata },
  }
  await store.append(stream, [event], last?.revision ?? 'no-stream')
}
