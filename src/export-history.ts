import { createWriteStream, type WriteStream } from 'node:fs'
import { rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import type { ExportOptions, ExportResult } from './cli/composed.ts'
import { readConfig } from './config.ts'
import { boundStoreOf } from './data-binding.ts'
import { unfinishedImport } from './event-store/history-import.ts'
import type { HistoryTrailer } from './event-store/history-lines.ts'
import { writeHistory } from './event-store/history-writer.ts'
import { syncDirectory } from './host/run-directory.ts'
import { noteExport } from './last-export.ts'
import { refusalOfMove } from './move-refusal.ts'
import { resolveDataDirectory } from './os/data-directory.ts'
import { isGone } from './os/process-identity.ts'
import { type ReachedStore, reachStore } from './reach-store.ts'
import { createShutdown } from './shutdown.ts'

export type ExportDeps = { env: NodeJS.ProcessEnv; version: string; stdout: Writable; say: (line: string) => void }

/** Writes the whole history of the configured store, whether a server serves it or not. */
export async function exportHistory(options: ExportOptions, deps: ExportDeps): Promise<ExportResult> {
  const shutdown = createShutdown()
  try {
    if (options.file !== undefined && !options.overwrite && (await sizeOf(options.file)) !== undefined) {
      return {
        ...{ type: 'refused', reason: 'conflict', message: `There is a file ${options.file} already.` },
        wayOut: 'Choose another name, or replace it with --overwrite.',
      }
    }
    const config = readConfig(deps.env)
    const dataDirectory = resolveDataDirectory(deps.env, process.getuid?.() ?? -1)
    const { signal } = options
    const reached = await reachStore({ ...{ config, dataDirectory, make: false, shutdown, signal }, say: deps.say })
    return await exportFrom(reached, options, deps)
  } catch (error) {
    return refusalOfMove(error, options.signal, options.file)
  } finally {
    await shutdown.run((name, error) => deps.say(`closing ${name} broke: ${(error as Error).message}`))
  }
}

async function exportFrom(
  { store, directory }: ReachedStore,
  { file, signal, progress }: ExportOptions,
  { version, stdout }: ExportDeps,
): Promise<ExportResult> {
  const unfinished = await unfinishedImport(store)
  if (unfinished !== undefined) {
    const wayOut = 'Finish the import with the same file first: runwarden import FILE'
    return { type: 'refused', reason: 'conflict', message: unfinished, wayOut }
  }
  const storeId = await store.storeId()
  const { events: total } = await store.stats()
  let trailer: HistoryTrailer | undefined
  async function* bytes() {
    const written = (events: number) => progress({ phase: 'export', events, ...(total === null ? {} : { total }) })
    trailer = yield* writeHistory(store, { by: version, now: new Date(), signal, written })
  }
  if (file === undefined) await pipeline(bytes, stdout, { end: false })
  else await writeFile(file, bytes)
  if (trailer === undefined) throw new Error('the history was not written to its end')
  // Held by nobody else, and the store's own: its host has told everything, and tells nothing more for now.
  const isFinal = directory?.claim.ok === true && (await boundStoreOf(directory.path)) === storeId
  if (isFinal) await noteExport(directory.path, { storeId, sha256: trailer.sha256 })
  const size = file === undefined ? null : ((await sizeOf(file)) ?? null)
  return { type: 'exported', file: file ?? null, ...trailer, bytes: size, storeId, isFinal }
}

async function sizeOf(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).size
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

/** Under its name only when all of it is on the disk. Nobody else may read it: prompts and output are in it. */
async function writeFile(file: string, bytes: () => AsyncIterable<Buffer>): Promise<void> {
  const unfinished = join(dirname(file), `.${basename(file)}.${process.pid}.unfinished`)
  try {
    const target: WriteStream = createWriteStream(unfinished, { flags: 'w', mode: 0o600, flush: true })
    if (file.endsWith('.gz')) await pipeline(bytes, createGzip({ level: 3 }), target)
    else await pipeline(bytes, target)
    await rename(unfinished, file)
  } catch (error) {
    await rm(unfinished, { force: true })
    throw error
  }
  await syncDirectory(dirname(file))
}
