import type { NewEvent } from '../domain/event.ts'
import type { ExpectedRevision, Retention } from './event-store.ts'

const name = /^[\x21-\x7e]{1,200}$/
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** More in one append is a bug of the caller: nothing that belongs together is this large. */
export const appendLimits = { events: 10_000, bytes: 16 * 1024 * 1024 }

export type EncodedEvent = {
  /** Lower case: databases compare ids without regard to it. */
  id: string
  type: string
  v: number
  /** JSON. */
  data: string
  /** JSON. */
  metadata: string
}

/**
 * What every engine checks and does before an append.
 *
 * NUL characters and lone surrogates become U+FFFD: JSON can express them, but neither PostgreSQL's text nor UTF-8
 * can, and what an agent prints must not be able to stop the projections.
 *
 * @throws TypeError for what no engine can store: a bug of the caller.
 */
export function encodeAppend(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): EncodedEvent[] {
  checkStream(stream)
  checkExpected(expected)
  if (events.length === 0) throw new TypeError('an append needs at least one event')
  if (events.length > appendLimits.events) {
    throw new TypeError(`an append has ${appendLimits.events} events at most, this one has ${events.length}`)
  }
  const encoded = events.map(encodeEvent)
  if (new Set(encoded.map((event) => event.id)).size < encoded.length) {
    throw new TypeError(`an append to ${stream} has the same event id twice`)
  }
  if (sizeOf(encoded) > appendLimits.bytes) {
    throw new TypeError(`an append has ${appendLimits.bytes} bytes at most, this one to ${stream} is larger`)
  }
  return encoded
}

/** What every engine answers to an append that is not the same as the one that was made. */
export const partlyKnown = (stream: string, events: number) =>
  new Error(
    `of the ${events} events appended to ${stream}, some are in the stream and some are not: ` +
      'an append is repeated as it was, or not at all',
  )

/** In UTF-16 units: near enough for limits. */
export const sizeOf = (events: readonly EncodedEvent[]) =>
  events.reduce((sum, { data, metadata }) => sum + data.length + metadata.length, 0)

/** @throws TypeError for what no engine can keep to: a bug of the caller. */
export function checkRetention(stream: string, { maxAgeMs, maxCount }: Retention): void {
  checkStream(stream)
  for (const limit of [maxAgeMs, maxCount]) {
    if (limit === undefined || (Number.isSafeInteger(limit) && limit >= 1)) continue
    throw new TypeError(`what is kept of ${stream} is limited by a whole number from 1, not ${limit}`)
  }
}

function checkStream(stream: string): void {
  if (!name.test(stream)) {
    throw new TypeError(
      `a stream's name is 1 to 200 printable ASCII characters without spaces: ${JSON.stringify(stream)}`,
    )
  }
}

function checkExpected(expected: ExpectedRevision): void {
  if (typeof expected !== 'number' || (Number.isSafeInteger(expected) && expected >= 0)) return
  throw new TypeError(`an expected revision is a whole number from 0, not ${expected}`)
}

function encodeEvent({ type, v, data, metadata }: NewEvent): EncodedEvent {
  if (!uuid.test(metadata.eventId)) {
    throw new TypeError(`an event id is a UUID: ${JSON.stringify(metadata.eventId)} (${type})`)
  }
  if (!name.test(type)) throw new TypeError(`an event's type is a name like a stream's: ${JSON.stringify(type)}`)
  if (!Number.isSafeInteger(v)) throw new TypeError(`the version of ${type} is a whole number, not ${v}`)
  return { id: metadata.eventId.toLowerCase(), type, v, data: toJson(data, type), metadata: toJson(metadata, type) }
}

/** JSON.stringify escapes a surrogate only when it is alone; an even number of backslashes before it is text. */
const unstorable = /(?<!\\)((?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})/g

function toJson(value: unknown, type: string): string {
  const json = JSON.stringify(value) as string | undefined
  if (json === undefined) throw new TypeError(`the data of ${type} is nothing that JSON can express: ${typeof value}`)
  return json.includes('\\u') ? json.replace(unstorable, '$1\ufffd') : json
}
