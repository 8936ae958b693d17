import type pg from 'pg'
import type { RecordedEvent } from '../src/domain/event.ts'
import type { EventStore } from '../src/event-store/event-store.ts'
import { lockCheckpoint, replaceCheckpoint } from './checkpoint.ts'
import { applyBatch, fold } from './fold.ts'
import type { Projection } from './projection.ts'
import { acquireLock, inSavepoint, inTransaction, isPassing, openSession, type Session } from './session.ts'

export type RebuildResult = {
  name: string
  /** How many events were folded. */
  events: number
  durationMs: number
}

/** Per transaction of a rebuild. Larger batches meet the same run more often, and write it once. */
const batchSize = 5_000
/** Up to so many positions behind, the rest is done in the switching transaction, while the live tables wait. */
const remainderMax = 500
/** How long the switch waits for somebody who reads the live tables, before it lets everybody pass and tries again. */
const switchLockTimeout = '2s'
const switchTries = 20
/** The live tables stand still meanwhile: a store that goes away now must not make them stand still for as long. */
const remainderTimeoutMs = 10_000

/**
 * Builds the projection's tables from the first event on, in a schema of their own, while the live tables are read and
 * written as before; then puts them in the place of the live ones, in one short transaction.
 * Interrupted, it leaves nothing but that schema, which the next rebuild removes.
 * @throws FoldFailed for an event that the projection cannot take; the live tables stay.
 * @throws the signal's reason on abort.
 */
export async function rebuildProjection(
  projection: Projection,
  { store, pool }: { store: EventStore; pool: pg.Pool },
  signal: AbortSignal,
): Promise<RebuildResult & { position: number }> {
  const session = await openSession(pool, `runwarden rebuild ${projection.name}`)
  try {
    if (!(await acquireLock(session, 'rebuild', projection.name, signal))) throw signal.reason
    const startedAt = performance.now()
    await makeEmptyTables(session, projection)
    const built = await build(session, projection, store, signal)
    const switched = await switchTables(session, projection, store, built.position, signal)
    return {
      name: projection.name,
      events: built.events + switched.events,
      durationMs: Math.round(performance.now() - startedAt),
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
    await lockCheckpoint(client, projection.name)
    for (const table of projection.tables) await client.query(`DROP TABLE IF EXISTS public.${table}`)
    await client.query(projection.ddl)
    await replaceCheckpoint(client, projection, 0, storeId)
  })
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

type Built = { events: number; position: number }

/** Folds until so little is left that the switch can do it. */
async function build(
  { client }: Session,
  projection: Projection,
  store: EventStore,
  signal: AbortSignal,
): Promise<Built> {
  const built: Built = { events: 0, position: 0 }
  let target = await store.head()
  if (target <= remainderMax) return built
  for await (const batch of read(projection, store, 0, signal)) {
    await applyBatch(batch, built.position, async (events) => {
      await inTransaction(client, () => foldAside(client, projection, events))
      return true
    })
    built.events += batch.events.length
    built.position = batch.position
    if (built.position < target) continue
    target = await store.head()
    if (target - built.position <= remainderMax) return built
  }
  throw signal.reason
}

async function foldAside(client: pg.Client, projection: Projection, events: readonly RecordedEvent[]): Promise<void> {
  await client.query(`SET LOCAL search_path = ${schemaOf(projection)}`)
  await fold(projection, events, client)
}

async function switchTables(
  session: Session,
  projection: Projection,
  store: EventStore,
  position: number,
  signal: AbortSignal,
): Promise<Built> {
  const storeId = await store.storeId()
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted()
    try {
      return await inTransaction(session.client, async () => {
        const rest = await foldRemainder(session.client, projection, store, position, signal)
        await replaceTables(session.client, projection)
        await replaceCheckpoint(session.client, projection, rest.position, storeId)
        return rest
      })
    } catch (error) {
      if (!isPassing(error) || session.lost.aborted || attempt === switchTries) throw error
    }
  }
}

/** With the checkpoint locked the live tables stand still, so that nothing they have is missing in the new ones. */
async function foldRemainder(
  client: pg.Client,
  projection: Projection,
  store: EventStore,
  position: number,
  signal: AbortSignal,
): Promise<Built> {
  await lockCheckpoint(client, projection.name)
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(remainderTimeoutMs)])
  const target = await store.head()
  const rest: Built = { events: 0, position }
  if (target <= position) return rest
  for await (const batch of read(projection, store, position, bounded)) {
    await applyBatch(batch, rest.position, async (events) => {
      await inSavepoint(client, () => foldAside(client, projection, events))
      return true
    })
    rest.events += batch.events.length
    rest.position = batch.position
    if (batch.position >= target) return rest
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
