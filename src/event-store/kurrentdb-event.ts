import { randomUUID } from 'node:crypto'
import { type EventData, type JSONType, jsonEvent, type ResolvedEvent } from '@kurrent/kurrentdb-client'
import type { EventMetadata, RecordedEvent } from '../domain/event.ts'
import type { EncodedEvent } from './encode.ts'
import { toNumber } from './kurrentdb-position.ts'

/** Everything but what the server keeps for itself ($stats, $metadata, …), which is nothing to us. */
export const userStreams = '^[^$]'

/**
 * The record of an event. Its id at the server is a new one, made once for an append and kept over its retries: so a
 * retry of the *same* append is known to the server, while the same event appended by somebody else is a conflict,
 * which the appender looks into. The event's own id is in the metadata.
 *
 * Metadata is text by text, because the calls that take many streams take no other.
 */
export function toRecord({ type, v, data, metadata }: EncodedEvent): EventData {
  return jsonEvent({
    id: randomUUID(),
    type,
    data: JSON.parse(data) as JSONType,
    metadata: { v: String(v), metadata },
  })
}

/** undefined for what Runwarden has not written: events of the server, or of another user of the same server. */
export function toEvent({ event }: ResolvedEvent): RecordedEvent | undefined {
  if (event === undefined || !event.isJson || event.streamId.startsWith('$')) return undefined
  const own = ownMetadata(event.metadata)
  if (own === undefined) return undefined
  return {
    stream: event.streamId,
    revision: Number(event.revision),
    position: toNumber(event.position),
    type: event.type,
    v: own.v,
    data: event.data,
    metadata: own.metadata,
    // The native addon (0.2.2) gives whole seconds, subscriptions give milliseconds: an event must not depend on its reader.
    recordedAt: new Date(Math.floor(event.created.getTime() / 1_000) * 1_000).toISOString(),
  }
}

function ownMetadata(value: unknown): { v: number; metadata: EventMetadata } | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { v, metadata } = value as { v?: unknown; metadata?: unknown }
  if (typeof v !== 'string' || typeof metadata !== 'string') return undefined
  try {
    return { v: Number(v), metadata: JSON.parse(metadata) as EventMetadata }
  } catch {
    // Somebody else's: ours is always JSON.
    return undefined
  }
}
