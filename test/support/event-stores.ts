import type pg from 'pg'
import type { EventStore } from '../../src/event-store/event-store.ts'
import { createKurrentEventStore } from '../../src/event-store/kurrentdb.ts'
import { createPostgresEventStore } from '../../src/event-store/postgres.ts'

/** How to open a store, in JSON: so that another process can open the same one. */
export type StoreAddress = { engine: 'postgres'; connection: pg.PoolConfig } | { engine: 'kurrentdb'; url: string }

export function openStore(address: StoreAddress): EventStore {
  if (address.engine === 'kurrentdb') return createKurrentEventStore(address.url)
  return createPostgresEventStore({ connection: address.connection })
}
