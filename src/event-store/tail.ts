import type { RecordedEvent } from '../domain/event.ts'
import type { EventBatch, SubscriptionFilter } from './event-store.ts'

/** What a process keeps of the newest events: enough for subscribers that are a moment behind. */
const defaultLimits = { events: 5_000, bytes: 16 * 1024 * 1024 }

/** A batch as it was read, `bytes` of data large. */
export type Page = EventBatch & { bytes: number }

export type Tail = ReturnType<typeof createTail>

/**
 * The newest events, read from the store once and shared by all live subscribers. They take from it at their own
 * pace: a slow one costs no memory, it falls behind the tail and reads from the store again.
 *
 * @param start the tail holds what comes after this position.
 */
export function createTail(start: number, limits = defaultLimits) {
  let first = start
  let end = start
  let pages: Page[] = []
  let count = 0
  let bytes = 0

  function add(page: Page): void {
    end = page.position
    pages.push(page)
    count += page.events.length
    bytes += page.bytes
    if (count > limits.events || bytes > limits.bytes) forget()
  }

  /** Down to half the limits, so that it is not done for every page. */
  function forget(): void {
    let gone = 0
    for (const page of pages) {
      if (count <= limits.events / 2 && bytes <= limits.bytes / 2) break
      count -= page.events.length
      bytes -= page.bytes
      first = page.position
      gone += 1
    }
    pages = pages.slice(gone)
  }

  /** undefined when what follows `after` is not in the tail any more. */
  function batchAfter(after: number, limit: number, filter?: SubscriptionFilter): EventBatch | undefined {
    if (after < first) return undefined
    const events: RecordedEvent[] = []
    // Subscribers are near the end, so look for the place from there.
    let from = pages.length
    while (from > 0 && (pages[from - 1]?.position ?? 0) > after) from -= 1
    for (const page of pages.slice(from)) {
      for (const event of page.events) {
        if (event.position <= after || !matches(event, filter)) continue
        events.push(event)
        if (events.length === limit) return { events, position: event.position }
      }
    }
    return { events, position: Math.max(after, end) }
  }

  return {
    add,
    batchAfter,
    /** It has everything after this position. */
    get start() {
      return first
    },
    /** Everything up to this position was in the tail, or before it. */
    get end() {
      return end
    },
  }
}

const matches = (event: RecordedEvent, filter?: SubscriptionFilter) =>
  filter === undefined || filter.streamPrefixes.some((prefix) => event.stream.startsWith(prefix))
