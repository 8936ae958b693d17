import { ConfigurationError } from './config.ts'
import type { EventStore } from './event-store/event-store.ts'
import { isKurrentUrl, KurrentAddressError } from './event-store/kurrentdb-address.ts'
import { createPostgresEventStore } from './event-store/postgres.ts'
import { databaseAt } from './postgres/connection.ts'

/**
 * The event store at a URL: KurrentDB or PostgreSQL. Connects on first use.
 * @throws ConfigurationError
 */
export async function openEvents(url: string): Promise<EventStore> {
  if (!isKurrentUrl(url)) return createPostgresEventStore({ connection: databaseAt(url) })
  // Loaded only where it is used: the client of KurrentDB costs 0.2 s and 38 MB.
  const { createKurrentEventStore } = await import('./event-store/kurrentdb.ts')
  try {
    return createKurrentEventStore(url)
  } catch (error) {
    if (!(error instanceof KurrentAddressError)) throw error
    throw new ConfigurationError(`EVENT_STORE_URL ${error.message}.`)
  }
}
