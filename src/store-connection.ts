import type pg from 'pg'
import { allProjections } from '../projections/all.ts'
import { createProjector, type Projector } from '../projections/projector.ts'
import type { Config } from './config.ts'
import { delayOrAbort } from './control/delay.ts'
import type { Log } from './control/log.ts'
import { bindToStore } from './data-binding.ts'
import { type EventStore, StoreAccessDenied, StoreUnavailable } from './event-store/event-store.ts'
import { unfinishedImport } from './event-store/history-import.ts'
import { createPostgresEventStore } from './event-store/postgres.ts'
import { openEvents } from './open-events.ts'
import { type DatabaseConnection, databaseAt, isUnavailable, openPool } from './postgres/connection.ts'
import { migrate } from './postgres/migrate.ts'

export type StoreConnection = {
  store: EventStore
  projector: Projector
  pool: pg.Pool
  /** Why the store cannot be used yet; undefined once it can. Outages after that are the store's own to tell. */
  away(): string | undefined
  /**
   * Tries until the store can be used or the signal aborts; then runs `opened` once.
   * @throws WrongStore, DatabaseTooNew, and whatever else no retry mends.
   */
  connect(opened: () => Promise<void>, signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** The store holds a part of a history: to serve it would be to tell half the truth. */
export class UnfinishedImport extends Error {
  override readonly name = 'UnfinishedImport'

  constructor(what: string) {
    super(`${what} Finish it with the same file ("runwarden import FILE"), or take an empty store.`)
  }
}

/**
 * The events, and the tables that derive from them: in one PostgreSQL, in two, or the events in KurrentDB.
 * @param embedded undefined where a database is configured.
 * @throws ConfigurationError
 */
export async function openStore(
  config: Config,
  embedded: DatabaseConnection | undefined,
  dataDirectory: string,
  log: Log,
): Promise<StoreConnection> {
  const at = (url: string | undefined): DatabaseConnection =>
    url === undefined ? { ...embeddedConnection(embedded) } : databaseAt(url)
  let closing = false
  const store =
    config.eventStoreUrl === undefined
      ? createPostgresEventStore({ connection: at(undefined) })
      : await openEvents(config.eventStoreUrl)
  const pool = openPool(at(config.databaseUrl), {
    purpose: 'projections',
    onConnectionLost: (error) => {
      if (!closing) log.warn({ err: error }, 'a database connection was lost')
    },
  })
  const projector = createProjector({ store, pool, projections: allProjections, log })
  let why: string | undefined = 'It has not been reached yet.'

  async function open(): Promise<void> {
    await migrate(pool)
    const storeId = await store.storeId()
    const unfinished = await unfinishedImport(store)
    if (unfinished !== undefined) throw new UnfinishedImport(unfinished)
    await bindToStore(dataDirectory, storeId)
    projector.start()
  }

  async function connect(opened: () => Promise<void>, signal: AbortSignal): Promise<void> {
    let reached = false
    for (let delay = 100; !signal.aborted; delay = Math.min(delay * 2, 2_000)) {
      try {
        if (!reached) await open()
        reached = true
        why = undefined
        await opened()
        return
      } catch (error) {
        why = (error as Error).message
        const isAway = error instanceof StoreUnavailable || isUnavailable(error)
        if (!isAway || error instanceof StoreAccessDenied) throw error
        log.warn({ err: error }, 'the event store is away; trying again')
      }
      await delayOrAbort(delay, signal)
    }
  }

  async function close(): Promise<void> {
    closing = true
    await projector.close()
    await store.close()
    await pool.end()
  }

  return { store, projector, pool, away: () => why, connect, close }
}

function embeddedConnection(embedded: DatabaseConnection | undefined): DatabaseConnection {
  if (embedded === undefined) throw new Error('neither a database URL nor the embedded server is there')
  return embedded
}
