import { randomUUID } from 'node:crypto'
import {
  BACKWARDS,
  END,
  FORWARDS,
  jsonEvent,
  type KurrentDBClient,
  NO_STREAM,
  type ResolvedEvent,
  START,
  StreamNotFoundError,
  streamNameFilter,
  WrongExpectedVersionError,
} from '@kurrent/kurrentdb-client'
import type { RecordedEvent } from '../domain/event.ts'
import type { ReadStreamOptions } from './event-store.ts'
import type { KurrentConnection } from './kurrentdb-connection.ts'
import { toEvent, userStreams } from './kurrentdb-event.ts'
import { toNumber, toPosition } from './kurrentdb-position.ts'

export type KurrentReader = ReturnType<typeof createKurrentReader>

/** Events of one call: enough to make its round trip cheap, few enough to come within its deadline. */
const pageSize = 1_000

/** A leader has everything that was ever acknowledged; what another node lacks would look like the end. */
const requiresLeader = true

/** Where the store's id is kept. System streams are seen by nobody else. */
const storeStream = '$runwarden'

/** Reads in pages: the client's iterator cannot be left early without leaving its native half behind. */
export function createKurrentReader(connection: KurrentConnection) {
  const { asUser } = connection
  /** Position of the last event that is not the server's own; 0 in an empty store. */
  async function head(): Promise<number> {
    const [last] = await readAll({ fromPosition: END, direction: BACKWARDS, maxCount: 1 })
    return last === undefined ? 0 : toNumber(last.event?.position)
  }

  function readAll(options: Parameters<KurrentDBClient['readAll']>[0]): Promise<ResolvedEvent[]> {
    const filter = streamNameFilter({ regex: userStreams })
    return connection.read((client) => listOf(client.readAll({ ...options, filter, requiresLeader, ...asUser })))
  }

  /** Foreign events are among it. Empty for an unknown stream. */
  async function streamPage(
    stream: string,
    from: number | undefined,
    direction: ReadStreamOptions['direction'],
    maxCount: number,
  ): Promise<ResolvedEvent[]> {
    const forwards = direction !== 'backwards'
    const end = forwards ? START : END
    const options = {
      fromRevision: from === undefined ? end : BigInt(from),
      direction: forwards ? FORWARDS : BACKWARDS,
      maxCount,
      requiresLeader,
      ...asUser,
    } as const
    try {
      return await connection.read((client) => listOf(client.readStream(stream, options)))
    } catch (error) {
      if (error instanceof StreamNotFoundError) return []
      throw error
    }
  }

  async function* stream(name: string, options: ReadStreamOptions = {}): AsyncGenerator<RecordedEvent> {
    const { direction, signal } = options
    let from = options.from
    let left = options.maxCount ?? Number.POSITIVE_INFINITY
    while (left > 0) {
      signal?.throwIfAborted()
      const limit = Math.min(pageSize, left)
      const page = await streamPage(name, from, direction, limit)
      for (const resolved of page) {
        signal?.throwIfAborted()
        const event = toEvent(resolved)
        if (event !== undefined) yield event
      }
      const last = page.at(-1)?.event
      if (last === undefined || page.length < limit) return
      from = Number(last.revision) + (direction === 'backwards' ? -1 : 1)
      if (from < 0) return
      left -= page.length
    }
  }

  /** The events before this position, the newest first. */
  function allBefore(position: number, maxCount: number): Promise<ResolvedEvent[]> {
    return readAll({ fromPosition: toPosition(position), direction: BACKWARDS, maxCount })
  }

  /** @throws Error where there is none */
  async function positionAt(stream: string, revision: number): Promise<number> {
    const [there] = await streamPage(stream, revision, 'forwards', 1)
    if (Number(there?.event?.revision) !== revision) throw new Error(`${stream} has no event ${revision}`)
    return toNumber(there?.event?.position)
  }

  /** What follows `after`; a read takes its first position with it. */
  async function allPage(after: number): Promise<ResolvedEvent[]> {
    const fromPosition = after === 0 ? START : toPosition(after)
    const page = await readAll({ fromPosition, direction: FORWARDS, maxCount: pageSize + 1 })
    return page.filter(({ event }) => toNumber(event?.position) > after)
  }

  async function* all(after: number, signal?: AbortSignal): AsyncGenerator<RecordedEvent> {
    signal?.throwIfAborted()
    const end = await head()
    const pageAfter = (position: number) => (position < end ? allPage(position) : undefined)
    let next = pageAfter(after)
    while (next !== undefined) {
      const page = await next
      const last = page.at(-1)?.event
      if (last === undefined) return
      // The next page is on its way while this one is used. If nobody comes for it, its failure is nobody's.
      next = pageAfter(toNumber(last.position))
      next?.catch(() => {})
      for (const resolved of page) {
        signal?.throwIfAborted()
        const event = toEvent(resolved)
        if (event !== undefined) yield event
      }
    }
  }

  /** Made by whoever asks first: only one event can be the first of its stream. */
  async function storeId(): Promise<string> {
    const known = await readStoreId()
    if (known !== undefined) return known
    const event = jsonEvent({ type: '$runwarden-store', data: { storeId: randomUUID() } })
    await connection
      .call((client) => client.appendToStream(storeStream, event, { streamState: NO_STREAM, requiresLeader }))
      .catch((error) => {
        if (!(error instanceof WrongExpectedVersionError)) throw error
      })
    const made = await readStoreId()
    if (made === undefined) throw new Error(`the stream ${storeStream} of KurrentDB holds no store id`)
    return made
  }

  async function readStoreId(): Promise<string | undefined> {
    const [first] = await streamPage(storeStream, undefined, 'forwards', 1)
    const data = first?.event?.data as { storeId?: unknown } | undefined
    return typeof data?.storeId === 'string' ? data.storeId : undefined
  }

  /** When the first and the last event were recorded; null in an empty store. */
  async function ages(): Promise<{ oldestAt: string | null; newestAt: string | null }> {
    const [[first], [last]] = await Promise.all([
      readAll({ fromPosition: START, direction: FORWARDS, maxCount: 1 }),
      readAll({ fromPosition: END, direction: BACKWARDS, maxCount: 1 }),
    ])
    const at = (resolved: ResolvedEvent | undefined) => resolved?.event?.created.toISOString() ?? null
    return { oldestAt: at(first), newestAt: at(last) }
  }

  return { head, stream, streamPage, all, allBefore, positionAt, storeId, ages }
}

async function listOf<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const list: Item[] = []
  for await (const item of items) list.push(item)
  return list
}
