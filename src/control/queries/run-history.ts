import { z } from 'zod'
import type { RecordedEvent } from '../../domain/event.ts'
import { runIdSchema, runStream } from '../../domain/ids.ts'
import type { EventStore } from '../../event-store/event-store.ts'
import type { RunEventEntry } from '../control.ts'
import { cursorsOf } from './cursor.ts'
import { type Page, type PageRequest, pageOf } from './page.ts'

/** The revision of an event; each run has cursors of its own, because in another run they would skip events. */
const cursorsIn = (stream: string) => cursorsOf(stream, z.number().int().nonnegative())

const entryOf = (event: RecordedEvent): RunEventEntry => ({
  event,
  cursor: cursorsIn(event.stream).encode(event.revision),
})

const firstAfter = (after: string | null | undefined, stream: string) =>
  after == null ? 0 : cursorsIn(stream).decode(after) + 1

/**
 * The run's lifecycle events, oldest first.
 * @returns undefined: no such run.
 * @throws InvalidCursor, StoreUnavailable
 */
export async function listRunEvents(
  store: EventStore,
  id: string,
  page: PageRequest,
): Promise<Page<RunEventEntry> | undefined> {
  const runId = runIdSchema.safeParse(id)
  if (!runId.success) return undefined
  const stream = runStream(runId.data)
  const from = firstAfter(page.after, stream)
  const found: RunEventEntry[] = []
  for await (const event of store.readStream(stream, { from, maxCount: page.first + 1 })) found.push(entryOf(event))
  if (found.length === 0 && !(await exists(store, stream))) return undefined
  return pageOf(found, page.first, ({ cursor }) => cursor)
}

async function exists(store: EventStore, stream: string): Promise<boolean> {
  for await (const _ of store.readStream(stream, { maxCount: 1 })) return true
  return false
}

/**
 * Every lifecycle event after the cursor (null: from the first), then live, without gap or duplicate. Ends when the
 * run has ended and is cleaned, at once where there is no such run, and on abort.
 * @throws InvalidCursor, StoreUnavailable
 */
export async function* followRunEvents(
  store: EventStore,
  id: string,
  after: string | null,
  signal: AbortSignal,
): AsyncGenerator<RunEventEntry> {
  const runId = runIdSchema.safeParse(id)
  if (!runId.success || signal.aborted) return
  const stream = runStream(runId.data)
  const from = firstAfter(after, stream)
  // The head comes first: what is appended during the read below is above it, and comes again from the subscription.
  const head = await store.head()
  let next = from
  for await (const event of store.readStream(stream, { from })) {
    if (signal.aborted) return
    next = event.revision + 1
    yield entryOf(event)
  }
  if (next === 0 || (await wasCleanedBefore(store, stream, next))) return
  for await (const batch of store.subscribe({ after: head, filter: { streamPrefixes: [stream] }, signal })) {
    for (const event of batch.events) {
      if (event.revision < next) continue
      next = event.revision + 1
      yield entryOf(event)
      if (event.type === 'RunCleaned') return
    }
  }
}

/** What may still come after RunCleaned, so that it need not be a stream's last event. */
const epilogue = ['LateResultObserved', 'TelemetrySummarised']

async function wasCleanedBefore(store: EventStore, stream: string, revision: number): Promise<boolean> {
  for await (const event of store.readStream(stream, { from: revision - 1, direction: 'backwards' })) {
    if (event.type === 'RunCleaned') return true
    if (!epilogue.includes(event.type)) return false
  }
  return false
}
