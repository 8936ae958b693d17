import { createHash } from 'node:crypto'
import { importStream } from '../domain/import-events.ts'
import type { EventStore } from './event-store.ts'
import { eventLine, type HistoryTrailer, headerLine, trailerLine } from './history-lines.ts'

/** Fewer, larger writes: 200,000 lines one by one took three times as long. */
const chunkBytes = 64 * 1024

/**
 * Everything that is in the store when it begins, as the bytes of a history: a header, a line per event in their order,
 * a trailer. Memory does not grow with the store. What is appended meanwhile is not in it.
 * @param written told now and then how many events there are so far
 * @returns the trailer
 * @throws StoreUnavailable; the signal's reason
 */
export async function* writeHistory(
  store: EventStore,
  { by, now, signal, written }: { by: string; now: Date; signal: AbortSignal; written: (events: number) => void },
): AsyncGenerator<Buffer, HistoryTrailer> {
  const hash = createHash('sha256')
  const header = headerLine({
    ...{ format: 'runwarden-history', version: 1, by },
    ...{ storeId: await store.storeId(), exportedAt: now.toISOString() },
  })
  const end = await store.head()
  let lines: Buffer[] = [header]
  let bytes = 0
  let events = 0
  const take = () => {
    const chunk = Buffer.concat(lines)
    hash.update(chunk)
    lines = []
    bytes = 0
    written(events)
    return chunk
  }
  for await (const event of store.readAll(0, { signal })) {
    if (event.position > end) break
    if (event.stream === importStream) continue
    const line = eventLine(event)
    lines.push(line)
    events += 1
    bytes += line.length
    if (bytes >= chunkBytes) yield take()
  }
  yield take()
  const trailer = { events, sha256: hash.digest('hex') }
  yield trailerLine(trailer)
  return trailer
}
