import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import type { RecordedEvent } from '../domain/event.ts'
import {
  DamagedHistory,
  type HistoryHeader,
  type HistoryTrailer,
  lineBytesMax,
  readHeader,
  readLine,
} from './history-lines.ts'

/** What a whole, undamaged history is. */
export type HistorySummary = HistoryHeader & HistoryTrailer

/**
 * Reads a file to its end and checks every byte of it: each line's checksum, the order of the events, their number, the
 * hash of all, and that nothing is missing at the end or comes after it.
 * @throws DamagedHistory; the file system's error; the signal's reason
 */
export async function checkHistory(
  path: string,
  signal: AbortSignal,
  checked: (events: number) => void,
): Promise<HistorySummary> {
  const reading = readHistory(path, signal)
  let count = 0
  for (;;) {
    const next = await reading.next()
    if (next.done) return next.value
    count += next.value.length
    checked(count)
  }
}

/** The events of a file in their order, some at a time. All is checked on the way, so what is wrong may show late. */
export async function* readHistory(path: string, signal: AbortSignal): AsyncGenerator<RecordedEvent[], HistorySummary> {
  const hash = createHash('sha256')
  let header: HistoryHeader | undefined
  let trailer: HistoryTrailer | undefined
  let number = 0
  let events = 0
  let position = 0
  for await (const lines of linesOf(path, signal)) {
    const batch: RecordedEvent[] = []
    for (const line of lines) {
      number += 1
      if (trailer !== undefined) throw new DamagedHistory(`Line ${number} comes after the end of the history.`)
      if (header === undefined) header = readHeader(line)
      else {
        const read = readLine(line, number)
        if ('event' in read) {
          if (read.event.position <= position)
            throw new DamagedHistory(`Line ${number} is not in the order of the events.`)
          position = read.event.position
          events += 1
          batch.push(read.event)
        } else trailer = read.end
      }
      if (trailer === undefined) hash.update(line).update('\n')
    }
    if (batch.length > 0) yield batch
  }
  if (header === undefined) throw new DamagedHistory('The file is empty.')
  if (trailer === undefined)
    throw new DamagedHistory(`The file is cut off after line ${number}: its last line is missing.`)
  if (trailer.events !== events)
    throw new DamagedHistory(`It should hold ${trailer.events} events, and holds ${events}.`)
  if (trailer.sha256 !== hash.digest('hex'))
    throw new DamagedHistory('It is not what was written: its SHA-256 differs.')
  return { ...header, ...trailer }
}

/** Without their line breaks, as many at a time as came together. */
async function* linesOf(path: string, signal: AbortSignal): AsyncGenerator<Buffer[]> {
  let rest: Buffer[] = []
  let restBytes = 0
  for await (const chunk of bytesOf(path, signal)) {
    const lines: Buffer[] = []
    let from = 0
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      lines.push(Buffer.concat([...rest, chunk.subarray(from, at)]))
      rest = []
      restBytes = 0
      from = at + 1
    }
    if (from < chunk.length) rest.push(chunk.subarray(from))
    restBytes += chunk.length - from
    if (restBytes > lineBytesMax) throw new DamagedHistory('It has a line that is longer than any event can be.')
    if (lines.length > 0) yield lines
  }
  if (restBytes > 0) throw new DamagedHistory('The file is cut off in the middle of a line.')
}

/** Unzipped where its first bytes say so, whatever it is called. */
async function* bytesOf(path: string, signal: AbortSignal): AsyncGenerator<Buffer> {
  if (!(await isGzip(path))) {
    yield* createReadStream(path, { signal, highWaterMark: 256 * 1024 })
    return
  }
  const unzip = createGunzip({ chunkSize: 256 * 1024 })
  const done = pipeline(createReadStream(path, { signal }), unzip)
  done.catch(() => {})
  try {
    yield* unzip
    await done
  } catch (cause) {
    signal.throwIfAborted()
    if (/^Z_|ERR_|^$/.test(String((cause as NodeJS.ErrnoException).code ?? ''))) {
      throw new DamagedHistory(`It cannot be unzipped (${(cause as Error).message}): it is cut off or damaged.`, {
        cause,
      })
    }
    throw cause
  } finally {
    unzip.destroy()
  }
}

async function isGzip(path: string): Promise<boolean> {
  const file = await open(path)
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(2), 0, 2, 0)
    return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b
  } finally {
    await file.close()
  }
}
