import type pg from 'pg'
import type { RecordedEvent } from '../src/domain/event.ts'
import type { EventBatch, EventStore } from '../src/event-store/event-store.ts'
import { backoffMs, pause } from '../src/postgres/retry.ts'
import { findSkip, lockCheckpoint, type ProjectionFailure, replaceCheckpoint, type Skip } from './checkpoint.ts'
import { applyBatch, fold } from './fold.ts'
import type { Projection } from './projection.ts'
import {
  acquireLock,
  inSavepoint,
  inTransaction,
  isPassing,
  openSession,
  releaseLock,
  type Session,
  tryLock,
} from './session.ts'

export type RebuildResult = {
  name: string
  /** How many events were folded. */
  events: number
  durationMs: number
  /** Events that it could not take, and passed over because somebody had decided so. */
  passedOver: number
}

/** Per transaction of a rebuild. Larger batches meet the same run more often, and write it once. */
const batchSize = 5_000
/** Up to so many positions behind, the rest is done in the switching transaction, while the live tables wait. */
const remainderMax = 500
/**
 * How long the switch waits for somebody who reads the live tables, before it lets everybody pass and tries again: who
 * comes to read meanwhile waits as long. And how often, with growing pauses: some two minutes in all.
 */
const switchLockTimeout = '250ms'
const switchTries = 30
/** The live tables stand still meanwhile: a store that goes away now must not make them stand still for as long. */
const remainderTimeoutMs = 10_000

/**
 * Builds the projection's tables from the first event on, in a schema of their own, while the live tables are read and
 * written as before; then puts them in the place of the live ones, in one short transaction.
 * Interrupted, it leaves nothing but that schema, which whoever runs the projection next removes.
 * @param isDue asked when nobody else rebuilds it any more: perhaps that was enough.
 * @returns undefined when it was not due.
 * @throws FoldFailed for an event that the projection cannot take; the live tables stay.
 * @throws the signal's reason on abort.
 */
export async function rebuildProjection(
  projection: Projection,
  { store, pool }: { store: EventStore; pool: pg.Pool },
  signal: AbortSignal,
  isDue: () => Promise<boolean>,
): Promise<(RebuildResult & { position: number }) | undefined> {
  const session = await openSession(pool, `runwarden rebuild ${projection.name}`)
  try {
    if (!(await acquireLock(session, 'rebuild', projection.name, signal))) throw signal.reason
    if (!(await isDue())) return undefined
    const startedAt = performance.now()
    await makeEmptyTables(session, projection)
    const built = await build(session, projection, store, signal)
    const switched = await switchTables(session, projection, store, built, signal)
    return {
      name: projection.name,
      events: switched.events,
      durationMs: Math.round(performance.now() - startedAt),
      passedOver: switched.skips.length,
      position: switched.position,
    }
  } finally {
    await session.close()
  }
}

/**
 * Makes the tables empty in the live place, with the checkpoint before the first event: where there is nothing to keep,
 * they are filled by following the store, so that an event that cannot be taken hides nothing that came before it.
 */
export async function createTables({ client }: Session, projection: Projection, store: EventStore): Promise<void> {
  const storeId = await store.storeId()
  await inTransaction(client, async () => {
    const before = await lockCheckpoint(client, projection.name)
    const skips = before.storeId === storeId ? before.skips : []
    for (const table of projection.tables) await client.query(`DROP TABLE IF EXISTS public.${table}`)
    await client.query(projection.ddl)
    await replaceCheckpoint(client, projection, { position: 0, storeId, skips })
  })
}

/** What a rebuild left when its process was killed; nothing, while a rebuild is under way. */
export async function dropLeftovers(session: Session, projection: Projection): Promise<void> {
  if (!(await tryLock(session, 'rebuild', projection.name))) return
  try {
    await session.client.query(`DROP SCHEMA IF EXISTS ${schemaOf(projection)} CASCADE`)
  } finally {
    await releaseLock(session, 'rebuild', projection.name)
  }
}

const schemaOf = (projection: Projection) => `rebuild_${projection.name}`

function makeEmptyTables({ client }: Session, projection: Projection): Promise<void> {
  const schema = schemaOf(projection)
  return inTransaction(client, async () => {
    await client.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE; CREATE SCHEMA ${schema}`)
    await client.query(`SET LOCAL search_path = ${schema}`)
    await client.query(projection.ddl)
  })
}

/** What the tables hold, and which events they could not take. */
type Built = { events: number; position: number; skips: Skip[] }

/** Folds until so little is left that the switch can do it. */
async function build(
  { client }: Session,
  projection: Projection,
  store: EventStore,
  signal: AbortSignal,
): Promise<Built> {
  const built: Built = { events: 0, position: 0, skips: [] }
  let target = await store.head()
  if (target <= remainderMax) return built
  const apply = (events: readonly RecordedEvent[]) => inTransaction(client, () => foldAside(client, projection, events))
  for await (const batch of read(projection, store, 0, signal)) {
    await take(client, projection, store, batch, built, apply)
    if (built.position < target) continue
    target = await store.head()
    if (target - built.position <= remainderMax) return built
  }
  throw signal.reason
}

/** @throws FoldFailed for an event that it cannot take, and of which nobody has said that it may be passed over. */
async function take(
  client: pg.Client,
  projection: Projection,
  store: EventStore,
  batch: EventBatch,
  built: Built,
  apply: (events: readonly RecordedEvent[]) => Promise<void>,
): Promise<void> {
  const applied = async (events: readonly RecordedEvent[]) => {
    await apply(events)
    return true
  }
  const mayPassOver = async (failure: ProjectionFailure) => {
    const skip = await findSkip(client, projection.name, failure, await store.storeId())
    if (skip !== undefined) built.skips.push(skip)
    return skip !== undefined
  }
  await applyBatch(batch, built.position, applied, mayPassOver)
  built.events += batch.events.length
  built.position = batch.position
}

async function foldAside(client: pg.Client, projection: Projection, events: readonly RecordedEvent[]): Promise<void> {
  await client.query(`SET LOCAL search_path = ${schemaOf(projection)}`)
  await fold(projection, events, client)
}

async function switchTables(
  session: Session,
  projection: Projection,
  store: EventStore,
  built: Built,
  signal: AbortSignal,
): Promise<Built> {
  const storeId = await store.storeId()
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted()
    try {
      return await inTransaction(session.client, async () => {
        const all = await foldRemainder(session.client, projection, store, built, signal)
        await replaceTables(session.client, projection)
        await replaceCheckpoint(session.client, projection, { ...all, storeId })
        return all
      })
    } catch (error) {
      if (!isPassing(error) || session.lost.aborted || attempt === switchTries) throw error
    }
    await pause(backoffMs(attempt), signal)
  }
}

/** With the checkpoint locked the live tables stand still, so that nothing they have is missing in the new ones. */
async function foldRemainder(
  client: pg.Client,
  projection: Projection,
  store: EventStore,
  built: Built,
  signal: AbortSignal,
): Promise<Built> {
  await lockCheckpoint(client, projection.name)
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(remainderTimeoutMs)])
  const target = await store.head()
  const all: Built = { ...built, skips: [...built.skips] }
  if (target <= all.position) return all
  const apply = (events: readonly RecordedEvent[]) => inSavepoint(client, () => foldAside(client, projection, events))
  for await (const batch of read(projection, store, all.position, bounded)) {
    await take(client, projection, store, batch, all, apply)
    if (batch.position >= target) return all
  }
  throw bounded.reason
}

async function replaceTables(client: pg.Client, projection: Projection): Promise<void> {
  const schema = schemaOf(projection)
  await client.query(`SET LOCAL lock_timeout = '${switchLockTimeout}'`)
  for (const table of projection.tables) {
    await client.query(`DROP TABLE IF EXISTS public.${table}; ALTER TABLE ${schema}.${table} SET SCHEMA public`)
  }
  await client.query(`DROP SCHEMA ${schema}`)
}

const read = (projection: Projection, store: EventStore, after: number, signal: AbortSignal) =>
  store.subscribe({ after, filter: { streamPrefixes: projection.streamPrefixes }, signal, batchSize })
