import { type FileHandle, open, readFile, rm } from 'node:fs/promises'
import { z } from 'zod'
import { eventMetadataSchema, type NewEvent } from '../domain/event.ts'
import { type EventStore, StoreUnavailable } from '../event-store/event-store.ts'
import { delayOrAbort } from './delay.ts'
import type { Log } from './log.ts'

/** Attempts that could not be recorded in the store yet: NDJSON on disk, in order. */
export type AuditSpool = {
  /** Resolves when the event is on disk; when even that fails it is logged, so that no refusal is silent. */
  add(stream: string, event: NewEvent): Promise<void>
  /** Moves everything into the store. Events have ids, so doing it twice records them once. @throws StoreUnavailable */
  flush(store: EventStore): Promise<void>
}

/** About 30,000 refused attempts; past it they are only logged, so that a flood cannot fill the disk. */
const spoolBytesMax = 16 * 1024 * 1024

export function createAuditSpool(path: string, log: Log): AuditSpool {
  /** Adds and flushes take turns: a flush removes the file. */
  let turn: Promise<unknown> = Promise.resolve()
  function inTurn<Result>(act: () => Promise<Result>): Promise<Result> {
    const result = turn.then(act)
    turn = result.catch(() => {})
    return result
  }

  async function add(stream: string, event: NewEvent): Promise<void> {
    try {
      await inTurn(() => appendLine(path, JSON.stringify({ stream, event })))
    } catch (error) {
      log.error({ err: error, stream, event }, 'an attempt could be recorded neither in the store nor on disk')
    }
  }

  async function flush(store: EventStore): Promise<void> {
    await inTurn(async () => {
      const text = await readIfThere(path)
      if (text === '') return
      for (const entry of entriesOf(text, log)) await store.append(entry.stream, [entry.event], 'any')
      await rm(path)
    })
  }

  return { add, flush }
}

/** Flushes now and then after every outage, until the signal aborts. */
export async function keepFlushing(spool: AuditSpool, store: EventStore, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await spool.flush(store)
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
    }
    await delayOrAbort(1_000, signal)
  }
}

async function appendLine(path: string, line: string): Promise<void> {
  let file: FileHandle | undefined
  try {
    file = await open(path, 'a', 0o600)
    if ((await file.stat()).size > spoolBytesMax) throw new Error(`the audit spool ${path} is full`)
    // A crash may have torn the line before; this one must not become part of it.
    await file.appendFile(`\n${line}\n`)
    await file.datasync()
  } finally {
    await file?.close()
  }
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}

const entrySchema = z.object({
  stream: z.string(),
  event: z.object({ type: z.string(), v: z.number(), data: z.unknown(), metadata: eventMetadataSchema }),
})
type Entry = z.infer<typeof entrySchema>

/** A line that was torn by a crash cannot be repaired: it is logged and passed over. */
function entriesOf(text: string, log: Log): Entry[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .flatMap((line) => {
      try {
        return [entrySchema.parse(JSON.parse(line))]
      } catch (error) {
        log.warn({ err: error, line }, 'a line of the audit spool is torn')
        return []
      }
    })
}
