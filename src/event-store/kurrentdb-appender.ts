import type { NewEvent } from '../domain/event.ts'
import { pause } from '../postgres/retry.ts'
import { type EncodedEvent, encodeAppend, partlyKnown, sizeOf } from './encode.ts'
import {
  type AppendResult,
  type ExpectedRevision,
  StoreAccessDenied,
  StoreUnavailable,
  type StreamAppend,
} from './event-store.ts'
import { toEvent, toRecord } from './kurrentdb-event.ts'
import type { KurrentWriter } from './kurrentdb-group-commit.ts'
import type { KnownStream, KnownStreams } from './kurrentdb-known-streams.ts'
import type { KurrentReader } from './kurrentdb-reader.ts'
import type { Write } from './kurrentdb-writer.ts'

export type KurrentAppender = ReturnType<typeof createKurrentAppender>

type Append = { stream: string; events: EncodedEvent[]; bytes: number; expected: ExpectedRevision }

type Waiting = Append & {
  resolve(result: AppendResult): void
  reject(error: unknown): void
}

/** Beyond this, callers are told at once instead of waiting for what will not come. */
const queueLimits = { appends: 20_000, bytes: 64 * 1024 * 1024 }
/** Before the second and third try of an append of which nothing is known. */
const retryPausesMs = [60, 240]
/** Writers of one stream are few: this many lost races in a row mean a bug, not bad luck. */
const racesMax = 200

/**
 * Appends, one after the other in each stream and many streams at once, each at the exact revision up to which the
 * stream is known here. So whatever somebody else has written meanwhile is a conflict at the server, and is read and
 * judged before anything is written.
 */
export function createKurrentAppender(reader: KurrentReader, writer: KurrentWriter, known: KnownStreams) {
  const lanes = new Map<string, Waiting[]>()
  let queued = { appends: 0, bytes: 0 }
  let draining = false
  let drained: (() => void) | undefined

  async function append(
    stream: string,
    events: readonly NewEvent[],
    expected: ExpectedRevision,
  ): Promise<AppendResult> {
    const encoded = encodeAppend(stream, events, expected)
    if (stream.startsWith('$')) throw new TypeError(`streams whose names begin with $ are the server's own: ${stream}`)
    const bytes = sizeOf(encoded)
    if (draining) throw new StoreUnavailable('the event store is closed')
    if (queued.appends >= queueLimits.appends || queued.bytes + bytes > queueLimits.bytes) {
      throw new StoreUnavailable(`the event store does not keep up: ${queued.appends} appends are waiting`)
    }
    const { promise, resolve, reject } = Promise.withResolvers<AppendResult>()
    queued = { appends: queued.appends + 1, bytes: queued.bytes + bytes }
    const lane = lanes.get(stream)
    const waiting = { stream, events: encoded, expected, bytes, resolve, reject }
    if (lane === undefined) void work(stream, [waiting])
    else lane.push(waiting)
    return promise
  }

  /** One by one: only the answer to one says that the next one will come after it in the log. */
  async function appendAll(appends: readonly StreamAppend[]): Promise<AppendResult[]> {
    const results: AppendResult[] = []
    for (const { stream, events, expected } of appends) results.push(await append(stream, events, expected))
    return results
  }

  async function work(stream: string, lane: Waiting[]): Promise<void> {
    lanes.set(stream, lane)
    for (let next = lane[0]; next !== undefined; next = lane[0]) {
      try {
        next.resolve(await decide(next))
      } catch (error) {
        next.reject(error)
        // Away for this one is away for everybody who waits behind it.
        if (error instanceof StoreUnavailable) for (const behind of lane.splice(1)) done(behind).reject(error)
      }
      lane.shift()
      done(next)
    }
    lanes.delete(stream)
    if (lanes.size === 0) drained?.()
  }

  function done(waiting: Waiting): Waiting {
    queued = { appends: queued.appends - 1, bytes: queued.bytes - waiting.bytes }
    return waiting
  }

  async function decide(append: Append): Promise<AppendResult> {
    const { stream: name, events, bytes, expected } = append
    const before = known.get(name)
    const stream = before ?? { last: -1, ids: new Map() }
    const records = events.map(toRecord)
    // Whether the stream may have grown since it was read. Who expects no stream may be right without looking.
    let read = false
    let stale = before === undefined && expected !== 'no-stream'
    let actual = -1
    for (let failures = 0, races = 0; races < racesMax; ) {
      try {
        if (stale) await known.refresh(name, stream, actual)
        read ||= stale
        stale = false
        const earlier = knownOf(append, stream) === 'all' ? await earlierResult(append, stream) : undefined
        if (earlier !== undefined) return earlier
        const isPartlyKnown = knownOf(append, stream) === 'some'
        const last = isPartlyKnown ? undefined : placeFor(expected, stream.last)
        if (last === undefined) {
          if (!read) {
            stale = true
            continue
          }
          if (isPartlyKnown) throw partlyKnown(name, events.length)
          return { outcome: 'wrong-expected-revision', expected, actual: stream.last }
        }
        const written = await writer.write({ stream: name, records, bytes, last })
        if (written.outcome === 'written') {
          const { revision, position } = written
          for (const [index, { id }] of events.entries()) stream.ids.set(id, revision + 1 - events.length + index)
          stream.last = revision
          known.keep(name, stream)
          return { outcome: 'appended', revision, position, duplicate: false }
        }
        if (last !== stream.last && written.actual === -1)
          return { outcome: 'wrong-expected-revision', expected, actual: -1 }
        races += 1
        actual = written.actual
      } catch (error) {
        if (!(error instanceof StoreUnavailable) || error instanceof StoreAccessDenied) throw error
        const pauseMs = retryPausesMs[failures]
        failures += 1
        if (pauseMs === undefined) throw error
        await pause(pauseMs)
      }
      // Lost to somebody else, or perhaps written without an answer: the stream itself says which.
      stale = true
    }
    throw new Error(`an append to ${name} lost the race for its stream ${racesMax} times in a row`)
  }

  /** What the same append got when it was made before; undefined when nothing of that is left. */
  async function earlierResult(
    { stream: name, events }: Append,
    stream: KnownStream,
  ): Promise<AppendResult | undefined> {
    const revision = stream.ids.get(events.at(-1)?.id ?? '') ?? -1
    const [there] = await reader.streamPage(name, revision, 'forwards', 1)
    const event = there && toEvent(there)
    if (event?.revision === revision) {
      return { outcome: 'appended', revision, position: event.position, duplicate: true }
    }
    // Retention has removed it, and with it what is known of its id.
    for (const { id } of events) stream.ids.delete(id)
    return undefined
  }

  return {
    append,
    appendAll,
    /** Takes nothing more; resolves when what was taken is decided. */
    async drain(): Promise<void> {
      draining = true
      if (lanes.size === 0) return
      await new Promise<void>((resolve) => {
        drained = resolve
      })
    },
  }
}

function knownOf({ events }: Append, stream: KnownStream): 'all' | 'some' | 'none' {
  const count = events.filter(({ id }) => stream.ids.has(id)).length
  if (count === 0) return 'none'
  return count === events.length ? 'all' : 'some'
}

/**
 * Where an append is to be written in a stream as it is known. undefined: its writer is wrong about the stream.
 *
 * A stream of which nothing can be read may still exist, with a last revision that only the server knows: retention by
 * age has removed its events. Then the server is asked what the writer expects.
 */
function placeFor(expected: ExpectedRevision, last: number): Write['last'] | undefined {
  if (expected === 'any') return last
  if (expected === 'no-stream') return last === -1 ? last : undefined
  if (last === -1 || expected === last) return expected
  return expected === 'stream-exists' ? last : undefined
}
