import type pg from 'pg'
import type { EventStore } from '../src/event-store/event-store.ts'
import { lockCheckpoint, replaceCheckpoint } from './checkpoint.ts'
import type { Projection } from './projection.ts'
import { inTransaction, releaseLock, type Session, tryLock } from './session.ts'

/**
 * How long the switch waits for somebody who reads the live tables, before it lets everybody pass and tries again: who
 * comes to read meanwhile waits as long.
 */
const switchLockTimeout = '250ms'

/** Where a rebuild makes its tables. */
export const schemaOf = (projection: Projection) => `rebuild_${projection.name}`

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

/** Beside the live ones. */
export function makeEmptyTables({ client }: Session, projection: Projection): Promise<void> {
  const schema = schemaOf(projection)
  return inTransaction(client, async () => {
    await client.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE; CREATE SCHEMA ${schema}`)
    await client.query(`SET LOCAL search_path = ${schema}`)
    await client.query(projection.ddl)
  })
}

/** Puts those of a rebuild in the place of the live ones, within a transaction. */
export async function replaceTables(client: pg.Client, projection: Projection): Promise<void> {
  const schema = schemaOf(projection)
  await client.query(`SET LOCAL lock_timeout = '${switchLockTimeout}'`)
  for (const table of projection.tables) {
    await client.query(`DROP TABLE IF EXISTS public.${table}; ALTER TABLE ${schema}.${table} SET SCHEMA public`)
  }
  await client.query(`DROP SCHEMA ${schema}`)
}
