import { crc32 } from 'node:zlib'
import { z } from 'zod'
import type { RecordedEvent } from '../domain/event.ts'
import { encodeAppend } from './encode.ts'

/** The first line of a history: what it is, and of which store. */
export const headerSchema = z.object({
  format: z.literal('runwarden-history'),
  /** Of the format. */
  version: z.literal(1),
  /** The version of Runwarden that wrote it. */
  by: z.string().max(100),
  storeId: z.uuid(),
  exportedAt: z.iso.datetime(),
})
export type HistoryHeader = z.infer<typeof headerSchema>

/** The last line: without it the file is cut off. */
export const trailerSchema = z.object({
  end: z.object({
    events: z.number().int().nonnegative(),
    /** Of all lines before this one, line breaks included; in hex. */
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
  }),
})
export type HistoryTrailer = z.infer<typeof trailerSchema>['end']

/** The file is no whole history. Nothing of it may be used. */
export class DamagedHistory extends Error {
  override readonly name = 'DamagedHistory'
}

/** An append has 16 Mi characters at most, each up to three bytes, or six where JSON escapes it. */
export const lineBytesMax = 128 * 1024 * 1024

export const headerLine = (header: HistoryHeader) => Buffer.from(`${JSON.stringify(header)}\n`)
export const trailerLine = (end: HistoryTrailer) => Buffer.from(`${JSON.stringify({ end })}\n`)

const prefix = '{"crc32":"00000000","event":'

/** `{"crc32":"…","event":{…}}`: the checksum is that of the event's bytes as they stand here. */
export function eventLine({ position, stream, revision, type, v, recordedAt, metadata, data }: RecordedEvent): Buffer {
  const event = Buffer.from(JSON.stringify({ position, stream, revision, type, v, recordedAt, metadata, data }))
  return Buffer.concat([Buffer.from(`{"crc32":"${checksum(event)}","event":`), event, Buffer.from('}\n')])
}

const checksum = (bytes: Uint8Array) => crc32(bytes).toString(16).padStart(8, '0')

const wholeNumber = z.number().int().nonnegative()
const eventSchema = z.object({
  position: wholeNumber.positive(),
  stream: z.string(),
  revision: wholeNumber,
  type: z.string(),
  v: z.number().int(),
  recordedAt: z.iso.datetime(),
  metadata: z.looseObject({ eventId: z.string() }),
})

/** What is in a line, without its line break. @throws DamagedHistory @param number of the line, from 1 */
export function readLine(line: Buffer, number: number): { event: RecordedEvent } | { end: HistoryTrailer } {
  const parsed = parse(line, number)
  if (Object.hasOwn(parsed, 'end')) return readTrailer(parsed, number)
  const bytes = line.subarray(prefix.length, -1)
  if (parsed.crc32 !== checksum(bytes))
    throw new DamagedHistory(`Line ${number} is not what was written: its checksum differs.`)
  // Past the checksum this is a bug of whoever wrote it; a store would refuse it in the middle of an import.
  const event = parsed.event as RecordedEvent
  try {
    eventSchema.parse(event)
    encodeAppend(event.stream, [event], 'any')
  } catch (cause) {
    throw new DamagedHistory(`Line ${number} holds no event that a store can keep: ${(cause as Error).message}`, {
      cause,
    })
  }
  return { event }
}

function readTrailer(parsed: object, number: number): { end: HistoryTrailer } {
  const { success, data } = trailerSchema.safeParse(parsed)
  if (!success) throw new DamagedHistory(`Line ${number} is no end of a history.`)
  return data
}

export function readHeader(line: Buffer): HistoryHeader {
  const { success, data } = headerSchema.safeParse(parse(line, 1))
  if (!success)
    throw new DamagedHistory('The first line is not that of a history which this version of Runwarden can read.')
  return data
}

function parse(line: Buffer, number: number): Record<string, unknown> {
  try {
    const parsed = JSON.parse(line.toString('utf8'))
    if (parsed !== null && typeof parsed === 'object') return parsed
  } catch (cause) {
    throw new DamagedHistory(`Line ${number} is no JSON.`, { cause })
  }
  throw new DamagedHistory(`Line ${number} is no JSON object.`)
}
