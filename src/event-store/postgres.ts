import { type DatabaseConnection, isUnavailable, openPool } from '../postgres/connection.ts'
import { keepConnection } from '../postgres/kept-connection.ts'
import { migrate } from '../postgres/migrate.ts'
import { type EventStore, StoreUnavailable } from './event-store.ts'
import type { Call } from './postgres-append-batch.ts'
import { createAppender, unavailable } from './postgres-appender.ts'
import { createReader, type Query } from './postgres-reader.ts'
import { createRetention } from './postgres-retention.ts'
import { readStats } from './postgres-stats.ts'
import { createSubscriptions } from './postgres-subscriptions.ts'

export type PostgresEventStoreOptions = {
  connection: DatabaseConnection
  /** How often at least a process with subscribers asks for news. Default 1,000. */
  pollMs?: number
}

/**
 * The event store in PostgreSQL. Connects on first use, and migrates its database then.
 *
 * Beyond {@link EventStore}'s promises: a subscription from `'end'` first yields an empty batch, which tells where it
 * begins. Every method throws DatabaseTooNew when a newer Runwarden has migrated the database.
 */
export function createPostgresEventStore({ connection, pollMs = 1_000 }: PostgresEventStoreOptions): EventStore {
  const readPool = openPool(connection, { purpose: 'reads' })
  const appending = keepConnection(connection, {
    ...{ purpose: 'appends', statementTimeoutMs: 10_000 },
    // Plans are made once, and perhaps while the tables are empty: without this they would scan them for ever.
    sessionOptions: '-c plan_cache_mode=force_generic_plan -c enable_seqscan=off',
  })

  let ended = false
  let migrated: Promise<unknown> | undefined
  const ready = () => {
    migrated ??= migrate(readPool).catch((error) => {
      migrated = undefined
      throw error
    })
    return migrated
  }
  const usable = () => {
    if (ended) throw new StoreUnavailable('the event store is closed')
    return ready()
  }
  const query: Query = async (statement) => {
    await usable()
    const { rows } = await readPool.query({ ...statement, rowMode: 'array' })
    return rows
  }
  const call: Call = async (statement) => {
    await usable()
    return appending.call(statement)
  }

  const reader = createReader(query)
  const subscriptions = createSubscriptions(connection, reader, pollMs)
  const retention = createRetention(query)
  const appender = createAppender(call, subscriptions.nudge)

  let storeId: string | undefined
  let closed: Promise<void> | undefined

  /** Outside a subscription nobody waits for the store's return. */
  async function orUnavailable<Result>(work: Promise<Result>): Promise<Result> {
    try {
      return await work
    } catch (error) {
      throw isUnavailable(error) ? unavailable(error) : error
    }
  }

  async function* eachOrUnavailable<Item>(items: AsyncGenerator<Item>): AsyncGenerator<Item> {
    try {
      yield* items
    } catch (error) {
      throw isUnavailable(error) ? unavailable(error) : error
    }
  }

  async function close(): Promise<void> {
    await Promise.all([appender.drain(), subscriptions.close()])
    ended = true
    await Promise.all([readPool.end(), appending.end()])
  }

  return {
    append: appender.append,
    // Taken in one go they stand in the queue one behind the other, and what breaks one batch ends all behind it.
    appendAll: (appends) =>
      allSettled(appends.map(({ stream, events, expected }) => appender.append(stream, events, expected))),
    readStream: (stream, options) => eachOrUnavailable(reader.stream(stream, options)),
    readAll: (after, options) => eachOrUnavailable(reader.all(after, options?.signal)),
    subscribe: subscriptions.subscribe,
    head: () => orUnavailable(reader.head()),
    setRetention: (stream, limits) => orUnavailable(retention.set(stream, limits)),
    retire: (signal) => orUnavailable(retention.retire(signal)),
    stats: () => orUnavailable(readStats(query)),
    async storeId() {
      storeId ??= await orUnavailable(reader.storeId())
      return storeId
    },
    close() {
      closed ??= close()
      return closed
    },
  }
}

/** Resolves or rejects when none is under way any more, so that nothing is committed after it has rejected. */
async function allSettled<Result>(works: Promise<Result>[]): Promise<Result[]> {
  await Promise.allSettled(works)
  return Promise.all(works)
}
