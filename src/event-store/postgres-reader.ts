import type { EventMetadata, RecordedEvent } from '../domain/event.ts'
import type { ReadStreamOptions, SubscriptionFilter } from './event-store.ts'
import type { Page } from './tail.ts'

export type Statement = { text: string; values?: unknown[]; name?: string }

/** Runs one statement and gives its rows as arrays. */
export type Query = (statement: Statement) => Promise<unknown[][]>

export type Reader = ReturnType<typeof createReader>

/** Events per query. From 500 on, larger pages read no faster. */
const pageSize = 1_000
/** Positions that one query looks through for a filter: a few ten milliseconds where nothing matches. */
const filterWindow = 100_000

/** Every read is by key, page after page: no query grows with what was read before it. */
export function createReader(query: Query) {
  async function head(): Promise<number> {
    const rows = await query({ text: 'select position from event_store.counter' })
    return Number(rows[0]?.[0])
  }

  async function storeId(): Promise<string> {
    const rows = await query({ text: 'select store_id from event_store.identity' })
    return String(rows[0]?.[0])
  }

  /** Of the events after `after`, the first ones that match. How far it looked and what it found are of one snapshot. */
  async function page(after: number, limit: number, filter?: SubscriptionFilter): Promise<Page> {
    const prefixes = filter?.streamPrefixes ?? []
    const matching = filter
      ? `and (${prefixes.map((_, index) => `stream ^@ $${index + 4}`).join(' or ') || 'false'})`
      : ''
    const rows = await query({
      text: `
        with upper as (select least(position, $1::bigint + $3::bigint) as position from event_store.counter)
        select upper.position, e.* from upper left join lateral (
          select octet_length(data::text), ${columns} from event_store.events
          where position > $1 and position <= upper.position ${matching}
          order by position limit $2
        ) e on true`,
      values: [after, limit, filter ? filterWindow : limit, ...prefixes],
    })
    const events: RecordedEvent[] = []
    let bytes = 0
    for (const [, size, ...row] of rows) {
      // One row without an event says how far was looked in vain.
      if (size === null) continue
      events.push(eventOf(row))
      bytes += Number(size)
    }
    const position = events.length < limit ? Number(rows[0]?.[0]) : (events.at(-1)?.position ?? after)
    return { events, bytes, position: Math.max(after, position) }
  }

  async function* stream(name: string, options: ReadStreamOptions = {}): AsyncGenerator<RecordedEvent> {
    const { direction = 'forwards', signal } = options
    const forwards = direction === 'forwards'
    const text = `
      select ${columns} from event_store.events
      where stream = $1 and revision ${forwards ? '>=' : '<='} $2
      order by revision ${forwards ? 'asc' : 'desc'} limit $3`
    let from = options.from ?? (forwards ? 0 : Number.MAX_SAFE_INTEGER)
    let left = options.maxCount ?? Number.POSITIVE_INFINITY
    while (left > 0) {
      signal?.throwIfAborted()
      const limit = Math.min(pageSize, left)
      const rows = await query({ text, values: [name, from, limit] })
      for (const row of rows) {
        signal?.throwIfAborted()
        const event = eventOf(row)
        from = event.revision + (forwards ? 1 : -1)
        yield event
      }
      if (rows.length < limit) return
      left -= rows.length
    }
  }

  async function* all(after: number, signal?: AbortSignal): AsyncGenerator<RecordedEvent> {
    signal?.throwIfAborted()
    const end = await head()
    const pageAfter = (position: number) => (position < end ? page(position, pageSize) : undefined)
    let next = pageAfter(after)
    while (next !== undefined) {
      const { events, position } = await next
      // The next page is on its way while this one is used. If nobody comes for it, its failure is nobody's.
      next = pageAfter(position)
      next?.catch(() => {})
      for (const event of events) {
        signal?.throwIfAborted()
        yield event
      }
    }
  }

  return { head, storeId, page, stream, all }
}

const columns = 'position, stream, revision, type, v, data, metadata, recorded_at'

function eventOf(row: unknown[]): RecordedEvent {
  const [position, stream, revision, type, v, data, metadata, recordedAt] = row
  return {
    stream: stream as string,
    revision: Number(revision),
    position: Number(position),
    type: type as string,
    v: v as number,
    data,
    metadata: metadata as EventMetadata,
    recordedAt: (recordedAt as Date).toISOString(),
  }
}
