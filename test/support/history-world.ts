import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { derivedEventId } from '../../src/control/derived-event-id.ts'
import type { RecordedEvent } from '../../src/domain/event.ts'
import { importStream } from '../../src/domain/import-events.ts'
import type { EventStore } from '../../src/event-store/event-store.ts'
import { type ImportOptions, type ImportState, importHistory } from '../../src/event-store/history-import.ts'
import { checkHistory } from '../../src/event-store/history-reader.ts'
import { writeHistory } from '../../src/event-store/history-writer.ts'

const never = new AbortController().signal

/** Exports the store to a file, as the command does. */
export async function writeTo(path: string, store: EventStore): Promise<void> {
  const bytes = () => writeHistory(store, { by: 'test', now: new Date(), signal: never, written: () => {} })
  if (path.endsWith('.gz')) await pipeline(bytes, createGzip(), createWriteStream(path))
  else await pipeline(bytes, createWriteStream(path))
}

export const check = (path: string) => checkHistory(path, never, () => {})

/** Imports the file, as the command does. */
export async function bring(
  path: string,
  store: EventStore,
  options: Partial<ImportOptions> = {},
): Promise<ImportState> {
  return importHistory(store, {
    path,
    summary: await check(path),
    metadata: (eventId) => ({
      ...{ eventId, actor: { kind: 'user', id: 'ada' }, correlationId: randomUUID() },
      occurredAt: new Date().toISOString(),
    }),
    eventIdOf: derivedEventId,
    telemetryRetention: {},
    signal: never,
    progress: () => {},
    ...options,
  })
}

/** What must be the same after a move, of every event in its order. */
export async function contentOf(store: EventStore): Promise<Omit<RecordedEvent, 'position' | 'recordedAt'>[]> {
  const events = []
  for await (const { position, recordedAt, ...event } of store.readAll(0)) {
    if (event.stream !== importStream) events.push(event)
  }
  return events
}
