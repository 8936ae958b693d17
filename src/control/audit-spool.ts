import { randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { eventMetadataSchema, type NewEvent } from '../domain/event.ts'
import { type EventStore, StoreUnavailable } from '../event-store/event-store.ts'
import { delayOrAbort } from './delay.ts'
import type { Log } from './log.ts'

/** Attempts that could not be recorded in the store yet: NDJSON on disk, in order. */
export type AuditSpool = {
  /**
   * Resolves when the event is on disk; never waits for the store. When even the disk fails it is logged, so that no
   * refusal is silent, and kept in memory.
   */
  add(stream: string, event: NewEvent): Promise<void>
  /** Moves everything into the store. Events have ids, so doing it twice records them once. @throws StoreUnavailable */
  flush(store: EventStore): Promise<void>
}

/** About 30,000 refused attempts; past it they are only logged, so that a flood cannot fill the disk. */
const spoolBytesMax = 16 * 1024 * 1024

/** What no disk would take, while this process lives; past it attempts are only logged. */
const inMemoryMax = 1_000

export function createAuditSpool(path: string, log: Log): AuditSpool {
  const onFile = takingTurns()
  const onFlush = takingTurns()
  const inMemory: Entry[] = []

  async function add(stream: string, event: NewEvent): Promise<void> {
    try {
      await onFile(() => appendLine(path, JSON.stringify({ stream, event })))
    } catch (error) {
      if (inMemory.length < inMemoryMax) inMemory.push({ stream, event })
      log.error({ err: error, stream, event }, 'an attempt could be recorded neither in the store nor on disk')
    }
  }

  /** The store may take its time, or all of it: what is added meanwhile does not wait, and is left for the next time. */
  async function flush(store: EventStore): Promise<void> {
    await onFlush(async () => {
      const content = await onFile(() => readIfThere(path))
      for (const entry of entriesOf(content.toString('utf8'), log))
        await store.append(entry.stream, [entry.event], 'any')
      if (content.length > 0) await onFile(() => removeStart(path, content.length))
      for (let entry = inMemory[0]; entry !== undefined; entry = inMemory[0]) {
        await store.append(entry.stream, [entry.event], 'any')
        inMemory.shift()
      }
      for (const left of await leftBeside(path)) {
        for (const entry of entriesOf(await readFile(left, 'utf8'), log))
          await store.append(entry.stream, [entry.event], 'any')
        await rm(left)
      }
    })
  }

  return { add, flush }
}

/**
 * For a process that does not own the spool, and so must not write into it: each attempt is left in a file of its own,
 * which the owner moves into the store. @throws where the disk does not take it
 */
export async function leaveBesideSpool(path: string, stream: string, event: NewEvent): Promise<void> {
  const directory = besideOf(path)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  if ((await readdir(directory)).length >= besideMax) throw new Error(`${directory} is full`)
  const file = join(directory, randomUUID())
  await writeFile(file, JSON.stringify({ stream, event }), { mode: 0o600, flush: true })
  await rename(file, `${file}.jsonl`)
}

/** So that a loop of refused attempts cannot fill the disk. */
const besideMax = 1_000

const besideOf = (path: string) => `${path}.d`

async function leftBeside(path: string): Promise<string[]> {
  try {
    const names = await readdir(besideOf(path))
    return names.filter((name) => name.endsWith('.jsonl')).map((name) => join(besideOf(path), name))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

/** Each begins when the one before has ended. */
function takingTurns() {
  let turn: Promise<unknown> = Promise.resolve()
  return <Result>(act: () => Promise<Result>): Promise<Result> => {
    const result = turn.then(act)
    turn = result.catch(() => {})
    return result
  }
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

/** A crash before it is done only means that some is flushed twice. */
async function removeStart(path: string, bytes: number): Promise<void> {
  const rest = (await readFile(path)).subarray(bytes)
  if (rest.length === 0) return rm(path)
  await writeFile(`${path}.new`, rest, { mode: 0o600, flush: true })
  await rename(`${path}.new`, path)
}

async function readIfThere(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0)
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
