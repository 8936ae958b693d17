import { isDeepStrictEqual } from 'node:util'
import type { NewEvent, RecordedEvent } from '../domain/event.ts'
import { runOfStream, telemetryStream } from '../domain/ids.ts'
import { importEvents, importStream, readImportEvent } from '../domain/import-events.ts'
import { versionIn } from '../domain/read-event.ts'
import type { AppendResult, EventStore, Retention, StreamAppend } from './event-store.ts'
import { type HistorySummary, readHistory } from './history-reader.ts'

/** A history goes into an empty store only, or into the one that holds a part of this very history. */
export class StoreNotEmpty extends Error {
  override readonly name = 'StoreNotEmpty'
}

/** What the store holds is not what the file says: somebody else writes to it, or the file was changed meanwhile. */
export class ImportDiffers extends Error {
  override readonly name = 'ImportDiffers'
}

export type ImportProgress = (phase: 'import' | 'compare', events: number) => void

export type ImportOptions = {
  path: string
  /** As `checkHistory` found it, so that nothing is written of a file that is damaged. */
  summary: HistorySummary
  /** Metadata of the events that tell of the import, but for their ids. */
  metadata: (eventId: string) => NewEvent['metadata']
  /** An id that is the same whenever it is made from the same seed. */
  eventIdOf: (seed: string) => string
  /** Of the heartbeats of runs that have ended. */
  telemetryRetention: Retention
  signal: AbortSignal
  progress: ImportProgress
}

/** Of the file that is to be imported: is it to be brought, to be brought to its end, or is it there? */
export type ImportState = 'empty' | 'begun' | 'completed'

/**
 * What the store holds of this history.
 * @throws StoreNotEmpty where it holds anything else
 */
export async function importStateOf(store: EventStore, { sha256 }: { sha256: string }): Promise<ImportState> {
  const first = await firstEvent(store)
  if (first === undefined) return 'empty'
  const known = readImportEvent(first)
  if (known?.type !== 'ImportBegun') throw new StoreNotEmpty('The store has a history of its own.')
  const last = await lastImportEvent(store)
  if (known.data.sha256 !== sha256) {
    const what = last?.type === 'ImportCompleted' ? 'another history, which was imported' : 'a part of another file'
    throw new StoreNotEmpty(`The store holds ${what} (SHA-256 ${known.data.sha256}).`)
  }
  return last?.type === 'ImportCompleted' ? 'completed' : 'begun'
}

/**
 * Why a store must not be served: it holds a part of a history. undefined: it may.
 * @throws StoreUnavailable
 */
export async function unfinishedImport(store: EventStore): Promise<string | undefined> {
  const last = await lastImportEvent(store)
  if (last === undefined || last.type === 'ImportCompleted') return undefined
  const known = readImportEvent(last)
  const which = known?.type === 'ImportBegun' ? ` of ${known.data.events} events (SHA-256 ${known.data.sha256})` : ''
  return `The event store holds an unfinished import${which}: a part of a history.`
}

async function firstEvent(store: EventStore): Promise<RecordedEvent | undefined> {
  for await (const event of store.readAll(0)) return event
  return undefined
}

async function lastImportEvent(store: EventStore): Promise<RecordedEvent | undefined> {
  for await (const event of store.readStream(importStream, { direction: 'backwards', maxCount: 1 })) return event
  return undefined
}

/**
 * Brings the history into the store: the same streams with the same events in the same order. Interrupted, the same
 * call goes on: events that are there already change nothing. Only when all of it is there, and was compared with the
 * file, the import is completed and the store may be served.
 *
 * Revisions are those of the file, but in streams whose first events retention had removed: they begin at 0 again.
 * Positions, and when an event was recorded, are the store's own.
 * @throws StoreNotEmpty, ImportDiffers, DamagedHistory, StoreUnavailable; the signal's reason
 */
export async function importHistory(store: EventStore, options: ImportOptions): Promise<ImportState> {
  const { summary } = options
  const state = await importStateOf(store, summary)
  if (state === 'completed') return state
  const { sha256, events, storeId: from, exportedAt, by } = summary
  await tell(store, options, { type: 'ImportBegun', data: { sha256, events, from, exportedAt, by } })
  // Whoever was quicker than our first event stands before it.
  await importStateOf(store, summary)
  await bring(store, options)
  await compare(store, options)
  await keepRetention(store, options)
  await tell(store, options, { type: 'ImportCompleted', data: { sha256 } })
  return state
}

type Told = { type: 'ImportBegun' | 'ImportCompleted'; data: object }

async function tell(store: EventStore, { summary, eventIdOf, metadata }: ImportOptions, { type, data }: Told) {
  const event = {
    type,
    v: versionIn(importEvents, type),
    data,
    metadata: metadata(eventIdOf(`${type} ${summary.sha256}`)),
  }
  const expected = type === 'ImportBegun' ? 'no-stream' : 0
  const result = await store.append(importStream, [event], expected)
  if (result.outcome !== 'appended') throw new StoreNotEmpty('Another import has begun in this store.')
}

/** Neighbours in one stream go in one append: a few round trips less where an engine takes one at a time. */
const appendMax = { events: 100, bytes: 1024 * 1024 }
/** Appends that are under way together: enough for several full batches of a group commit. */
const windowMax = { appends: 2_000, bytes: 8 * 1024 * 1024 }

/** Of one stream, with the revision that the last of them has in the file. */
type Group = { stream: string; events: NewEvent[]; lastRevision: number; bytes: number }

async function bring(store: EventStore, { path, signal, progress }: ImportOptions): Promise<void> {
  const check = revisionCheck()
  let events = 0
  for await (const groups of windowsOf(path, signal)) {
    signal.throwIfAborted()
    const appends = groups.map(({ stream, events }): StreamAppend => ({ stream, events, expected: 'any' }))
    const results = await store.appendAll(appends)
    for (const [index, group] of groups.entries()) {
      check(group, results[index])
      events += group.events.length
    }
    progress('import', events)
  }
}

async function* windowsOf(path: string, signal: AbortSignal): AsyncGenerator<Group[]> {
  let window: Group[] = []
  let bytes = 0
  for await (const group of groupsOf(path, signal)) {
    window.push(group)
    bytes += group.bytes
    if (window.length < windowMax.appends && bytes < windowMax.bytes) continue
    yield window
    window = []
    bytes = 0
  }
  if (window.length > 0) yield window
}

/** The same of the same file, however often: an append that is repeated must be as it was. */
async function* groupsOf(path: string, signal: AbortSignal): AsyncGenerator<Group> {
  let group: Group | undefined
  for await (const batch of readHistory(path, signal)) {
    for (const { stream, revision, type, v, data, metadata } of batch) {
      const isFull = group !== undefined && (group.events.length >= appendMax.events || group.bytes >= appendMax.bytes)
      if (group === undefined || group.stream !== stream || isFull) {
        if (group !== undefined) yield group
        group = { stream, events: [], lastRevision: revision, bytes: 0 }
      }
      group.events.push({ type, v, data, metadata })
      group.lastRevision = revision
      group.bytes += JSON.stringify(data).length
    }
  }
  if (group !== undefined) yield group
}

/**
 * That each stream grows as it did, but for what retention had removed: before the export, from its beginning, or while
 * it went on, from its middle. Remembers those streams, and no others.
 */
function revisionCheck() {
  const missing = new Map<string, number>()
  return ({ stream, lastRevision }: Group, result: AppendResult | undefined): void => {
    if (result?.outcome !== 'appended') throw new ImportDiffers(`An append to ${stream} was refused.`)
    const before = missing.get(stream) ?? 0
    const now = lastRevision - result.revision
    if (now < before) throw new ImportDiffers(`Somebody else writes to ${stream} in this store.`)
    if (now > before) missing.set(stream, now)
  }
}

/** Reads the store beside the file, event by event. */
async function compare(store: EventStore, { path, signal, progress }: ImportOptions): Promise<void> {
  const stored = store.readAll(0, { signal })[Symbol.asyncIterator]()
  const next = async () => {
    for (;;) {
      const { value, done } = await stored.next()
      if (done || value.stream !== importStream) return done ? undefined : value
    }
  }
  let events = 0
  for await (const batch of readHistory(path, signal)) {
    for (const wanted of batch) {
      const found = await next()
      if (found === undefined) throw new ImportDiffers(`The store ends after ${events} events.`)
      if (!isSame(wanted, found)) {
        throw new ImportDiffers(
          `Where the file has ${nameOf(wanted)}, the store has ${nameOf(found)}: somebody else writes to it.`,
        )
      }
      events += 1
    }
    progress('compare', events)
  }
  const beyond = await next()
  if (beyond !== undefined)
    throw new ImportDiffers(`Somebody else writes to this store: it has ${nameOf(beyond)}, too.`)
}

/** Calls that are under way together. */
const settingMax = 100

/** As the host's facts would have set it at each run's end. Not sooner: what it removes could not be compared. */
async function keepRetention(store: EventStore, { path, telemetryRetention, signal }: ImportOptions): Promise<void> {
  let setting: Promise<void>[] = []
  for await (const batch of readHistory(path, signal)) {
    for (const { type, stream } of batch) {
      const runId = type === 'TelemetrySummarised' ? runOfStream(stream) : undefined
      if (runId !== undefined) setting.push(store.setRetention(telemetryStream(runId), telemetryRetention))
    }
    if (setting.length < settingMax) continue
    await Promise.all(setting)
    setting = []
  }
  await Promise.all(setting)
}

const nameOf = ({ type, stream, revision }: RecordedEvent) => `${type} (${stream}, revision ${revision})`

const isSame = (wanted: RecordedEvent, found: RecordedEvent) =>
  wanted.stream === found.stream &&
  wanted.type === found.type &&
  wanted.v === found.v &&
  isDeepStrictEqual(wanted.metadata, found.metadata) &&
  isDeepStrictEqual(wanted.data, found.data)
