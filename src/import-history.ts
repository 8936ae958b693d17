import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { ImportOptions, ImportResult } from './cli/composed.ts'
import { readConfig } from './config.ts'
import { derivedEventId } from './control/derived-event-id.ts'
import { loadRun } from './control/run-log.ts'
import { bindAnew, boundStoreOf } from './data-binding.ts'
import { dispatchCheckpoint } from './dispatch-checkpoint.ts'
import { isTerminal } from './domain/run-state.ts'
import type { EventStore, Retention } from './event-store/event-store.ts'
import { importHistory as bringHistory, ImportDiffers } from './event-store/history-import.ts'
import { DamagedHistory } from './event-store/history-lines.ts'
import { checkHistory, type HistorySummary, readHistory } from './event-store/history-reader.ts'
import { ownAccount } from './host/accounts.ts'
import { offerAgain } from './host/offer-again.ts'
import { isLastExport } from './last-export.ts'
import { refusalOfMove } from './move-refusal.ts'
import { resolveDataDirectory } from './os/data-directory.ts'
import { type ReachedStore, reachStore } from './reach-store.ts'
import { createShutdown } from './shutdown.ts'

export type ImportDeps = { env: NodeJS.ProcessEnv; say: (line: string) => void }

type Refused = Extract<ImportResult, { type: 'refused' }>

/**
 * Brings a history into the configured store. The file is read to its end first: nothing is made or written for one
 * that is damaged.
 */
export async function importHistory(options: ImportOptions, deps: ImportDeps): Promise<ImportResult> {
  const { file, signal, progress } = options
  const shutdown = createShutdown()
  try {
    const config = readConfig(deps.env)
    const dataDirectory = resolveDataDirectory(deps.env, process.getuid?.() ?? -1)
    const summary = await checkHistory(file, signal, (events) => progress({ phase: 'check', events }))
    const reached = await reachStore({ ...{ config, dataDirectory, make: true, shutdown, signal }, say: deps.say })
    const refusal = await refusalOfDirectory(reached, summary, options)
    if (refusal !== undefined) return refusal
    return await importInto(reached, summary, config.telemetryRetention, options)
  } catch (error) {
    return refusalOfMove(error, signal, file)
  } finally {
    await shutdown.run((name, error) => deps.say(`closing ${name} broke: ${(error as Error).message}`))
  }
}

/**
 * The runs that live on this host belong to the history that its data directory is bound to. They may go on with
 * another store only if that knows all that they have told.
 */
async function refusalOfDirectory(
  { store, directory }: ReachedStore,
  { storeId: from, sha256 }: HistorySummary,
  { rebind }: ImportOptions,
): Promise<Refused | undefined> {
  if (directory === undefined) return undefined
  const refused = (message: string, wayOut: string): Refused => ({
    type: 'refused',
    reason: 'conflict',
    message,
    wayOut,
  })
  const elsewhere = 'or leave it alone and set RUNWARDEN_DATA_DIR to another directory'
  if (!directory.claim.ok) return { type: 'refused', reason: 'conflict', message: directory.claim.message }
  const bound = await boundStoreOf(directory.path)
  if (bound === undefined || bound === (await store.storeId())) return undefined
  if (bound !== from) {
    return refused(
      `The data directory ${directory.path} belongs to the event store ${bound}; this history is that of ${from}.`,
      'Set RUNWARDEN_DATA_DIR to another directory.',
    )
  }
  if (rebind || (await isLastExport(directory.path, { storeId: from, sha256 }))) return undefined
  return refused(
    `The runs of the data directory ${directory.path} have gone on since this history was exported, or it was exported while a server ran: it may lack what they did.`,
    `Stop the server, export again and import that; ${elsewhere}; or, where what came after it is lost, import with --rebind.`,
  )
}

async function importInto(
  { store, directory }: ReachedStore,
  summary: HistorySummary,
  telemetryRetention: Retention,
  { file, signal, progress }: ImportOptions,
): Promise<ImportResult> {
  const [correlationId, actor] = [randomUUID(), { kind: 'user' as const, id: ownAccount().name }]
  const { events, sha256, storeId: from } = summary
  const state = await bringHistory(store, {
    ...{ path: file, summary, signal, telemetryRetention, eventIdOf: derivedEventId },
    metadata: (eventId) => ({ eventId, actor, correlationId, occurredAt: new Date().toISOString() }),
    progress: (phase, count) => progress({ phase, events: count, total: events }),
  }).catch((error) => {
    if (!(error instanceof DamagedHistory)) throw error
    throw new ImportDiffers(`The file was changed while it was read. ${error.message}`, { cause: error })
  })
  const storeId = await store.storeId()
  const bound = directory && (await boundStoreOf(directory.path))
  const rebound = bound !== undefined && bound !== storeId
  if (rebound) {
    const path = directory?.path as string
    if (!(await isLastExport(path, { storeId: from, sha256 }))) await tellAgain(store, path)
    await rebindTo(store, storeId, path, file, signal)
  }
  return { type: 'imported', events, sha256, storeId, from, wasThere: state === 'completed', rebound }
}

/** What the host told the old store after the export, this one lacks; the host's journals have it. */
const tellAgain = (store: EventStore, directory: string) =>
  offerAgain(join(directory, 'host'), async (runId) => {
    const run = await loadRun(store, runId)
    return run !== undefined && !(isTerminal(run.state.status) && run.state.cleanup.doneAt !== null)
  })

/**
 * The host of the directory goes on with this store. What its old store has told it is known by a position there; the
 * event at that position has another one here. Until it is found the host begins at the first event: to be told again
 * is harmless, to miss something is not.
 */
async function rebindTo(store: EventStore, storeId: string, directory: string, file: string, signal: AbortSignal) {
  const checkpoint = dispatchCheckpoint(directory)
  const told = await checkpoint.read()
  if (told !== undefined) await checkpoint.write(0)
  await bindAnew(directory, storeId)
  if (told !== undefined && told > 0) await checkpoint.write(await positionHere(store, told, file, signal))
}

/** Lifecycle streams are kept for ever, and have the same revisions everywhere. */
async function positionHere(store: EventStore, there: number, file: string, signal: AbortSignal): Promise<number> {
  let last: { stream: string; revision: number; eventId: string } | undefined
  for await (const batch of readHistory(file, signal)) {
    for (const { position, stream, revision, metadata } of batch) {
      if (position > there) break
      if (stream.startsWith('run-')) last = { stream, revision, eventId: metadata.eventId }
    }
  }
  if (last === undefined) return 0
  for await (const event of store.readStream(last.stream, { from: last.revision, maxCount: 1 })) {
    if (event.metadata.eventId === last.eventId) return event.position
  }
  return 0
}
