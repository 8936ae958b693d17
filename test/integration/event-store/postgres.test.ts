import type pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type EventStore, StoreUnavailable } from '../../../src/event-store/event-store.ts'
import { createPostgresEventStore } from '../../../src/event-store/postgres.ts'
import { openPool } from '../../../src/postgres/connection.ts'
import { collect, follow } from '../../support/collect.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'
import { newEvent, newEvents } from '../../support/new-event.ts'

/** Longer than any test: where this is the poll interval, something else has delivered. */
const never = 600_000

describe('event store in PostgreSQL', () => {
  let database: TestDatabase
  /** Connected to another database of the server, so that it stays when the store's one goes away. */
  let server: pg.Pool
  let stores: EventStore[]

  const open = (pollMs?: number) => {
    const store = createPostgresEventStore({ connection: database.connection, ...(pollMs && { pollMs }) })
    stores.push(store)
    return store
  }
  const sql = async (text: string) => (await server.query(text)).rows
  const here = () => `datname = '${database.connection.database}'`
  const terminate = (purpose = '%') =>
    sql(`select pg_terminate_backend(pid) from pg_stat_activity
         where ${here()} and application_name like 'runwarden ${purpose}'`)
  const connections = async (purpose = '%') =>
    Number(
      (
        await sql(
          `select count(*) from pg_stat_activity where ${here()} and application_name like 'runwarden ${purpose}'`,
        )
      )[0].count,
    )
  const until = async (condition: () => Promise<boolean>) => {
    while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10))
  }
  const goAway = async () => {
    await sql(`alter database ${database.connection.database} with allow_connections false`)
    await terminate()
  }
  const comeBack = () => sql(`alter database ${database.connection.database} with allow_connections true`)

  /** No append is decided until the function it gives is called. */
  const holdCounter = async () => {
    const pool = openPool(database.connection, { purpose: 'test' })
    const client = await pool.connect()
    await client.query('begin; select from event_store.counter for update')
    return async () => {
      await client.query('rollback')
      client.release()
      await pool.end()
    }
  }
  const waiting = async () =>
    Number((await sql(`select count(*) from pg_stat_activity where ${here()} and wait_event_type = 'Lock'`))[0].count)

  beforeEach(async () => {
    stores = []
    database = await createTestDatabase()
    server = openPool({ ...database.connection, database: 'postgres' }, { purpose: 'test' })
  })
  afterEach(async () => {
    await Promise.all(stores.map((store) => store.close()))
    await server.end()
    await database.drop()
  })

  it('[R14] throws StoreUnavailable while the store is away; subscriptions wait, and miss and repeat nothing', async () => {
    const store = open()
    await store.append('s', newEvents(3), 'any')
    const live = follow(store)
    await live.until(() => live.events.length === 3)

    await goAway()
    const begunMeanwhile = follow(open(), { after: 1 })
    await expect(store.append('s', newEvents(1), 'any')).rejects.toThrow(StoreUnavailable)
    await expect(store.head()).rejects.toThrow(StoreUnavailable)
    await expect(collect(store.readAll(0))).rejects.toThrow(StoreUnavailable)
    await expect(collect(store.readStream('s'))).rejects.toThrow(StoreUnavailable)
    const given = follow(store, { after: 'end' })
    await given.stop()

    await comeBack()
    await until(() =>
      store.append('s', newEvents(2), 2).then(
        () => true,
        () => false,
      ),
    )
    await live.until(() => live.events.length >= 5)
    await begunMeanwhile.until(() => begunMeanwhile.events.length >= 4)
    expect(live.events.map(({ position }) => position)).toEqual([1, 2, 3, 4, 5])
    expect(begunMeanwhile.events.map(({ position }) => position)).toEqual([2, 3, 4, 5])
    await Promise.all([live.stop(), begunMeanwhile.stop()])
  })

  it('[R14] repeats a batch whose connection broke: nothing acknowledged is lost, nothing is written twice', async () => {
    const store = open()
    await store.head()
    let appending = true
    const breaking = (async () => {
      while (appending) {
        await terminate('appends')
        await new Promise((resolve) => setTimeout(resolve, 30))
      }
    })()
    const acknowledged: string[] = []
    await Promise.all(
      Array.from({ length: 20 }, async (_, caller) => {
        for (let round = 0; round < 60; round += 1) {
          const event = newEvent()
          await store.append(`s-${caller}`, [event], 'any').then(
            () => acknowledged.push(event.metadata.eventId),
            (error) => expect(error).toBeInstanceOf(StoreUnavailable),
          )
        }
      }),
    )
    appending = false
    await breaking
    const ids = (await collect(store.readAll(0))).map(({ metadata }) => metadata.eventId)
    expect(acknowledged.length).toBeGreaterThan(0)
    expect(new Set(ids).size).toBe(ids.length)
    expect(acknowledged.filter((id) => !ids.includes(id))).toEqual([])
  })

  it('reads on when the server can only be read', async () => {
    const store = open()
    await store.append('s', newEvents(1), 'any')
    await sql(`alter database ${database.connection.database} set default_transaction_read_only = on`)
    await terminate()
    await until(() =>
      store.head().then(
        () => true,
        () => false,
      ),
    )
    await expect(store.append('s', newEvents(1), 'any')).rejects.toThrow(StoreUnavailable)
    expect(await collect(store.readStream('s'))).toHaveLength(1)
  })

  it('[R23] hears of the appends of other processes without polling', async () => {
    const [writer, reader] = [open(), open(never)]
    await writer.append('s', newEvents(1), 'any')
    const subscription = follow(reader)
    await until(async () => (await connections('events')) === 1)
    await subscription.until(() => subscription.events.length === 1)
    for (let count = 2; count < 10; count += 1) {
      await writer.append('s', newEvents(1), 'any')
      await subscription.until(() => subscription.events.length === count)
    }
    await subscription.stop()
  })

  it('asks for news as soon as a lost LISTEN connection is there again', async () => {
    const [writer, reader] = [open(), open(never)]
    await writer.append('s', newEvents(1), 'any')
    const subscription = follow(reader)
    await subscription.until(() => subscription.events.length === 1)
    await until(async () => (await connections('events')) === 1)
    await terminate('events')
    await writer.append('s', newEvents(1), 'any')
    await subscription.until(() => subscription.events.length === 2)
    await subscription.stop()
  })

  it('delivers by polling what no NOTIFY told of', async () => {
    const [writer, reader] = [open(), open(50)]
    await writer.append('s', newEvents(1), 'any')
    const pool = openPool(database.connection, { purpose: 'test' })
    const { rows } = await pool.query("select pg_get_functiondef('event_store.append_one'::regproc) as definition")
    expect(rows[0].definition).toContain('perform pg_notify(')
    await pool.query(rows[0].definition.replaceAll('perform pg_notify(', 'perform concat('))
    await pool.end()

    const subscription = follow(reader)
    await subscription.until(() => subscription.events.length === 1)
    await writer.append('s', newEvents(1), 'any')
    await subscription.until(() => subscription.events.length === 2)
    await subscription.stop()
  })

  it('holds no connection for subscriptions that ended, and none at all once closed', async () => {
    const store = open()
    const subscriptions = [follow(store), follow(store)]
    await until(async () => (await connections('events')) === 1)
    await Promise.all(subscriptions.map((subscription) => subscription.stop()))
    await until(async () => (await connections('events')) === 0)
    const again = follow(store)
    await until(async () => (await connections('events')) === 1)
    await store.close()
    await again.ended
    await until(async () => (await connections()) === 0)
  })

  it('keeps the order of calls; appends of one batch see each other', async () => {
    const store = open()
    const results = await Promise.all([
      store.append('s', newEvents(2), 'no-stream'),
      store.append('s', newEvents(1), 'no-stream'),
      store.append('s', newEvents(1), 1),
      store.append('t', newEvents(1), 'stream-exists'),
      store.append('s', newEvents(1), 1),
      store.append('s', newEvents(1), 2),
    ])
    expect(results.map((result) => (result.outcome === 'appended' ? result.revision : [result.actual]))).toEqual([
      1,
      [1],
      2,
      [-1],
      [2],
      3,
    ])
  })

  it('writes the neighbours of an append that the server refuses', async () => {
    const store = open()
    const tooLarge = { ...newEvent(), v: 2 ** 40 }
    const results = await Promise.allSettled([
      store.append('a', newEvents(1), 'any'),
      store.append('b', [tooLarge], 'any'),
      store.append('c', newEvents(1), 'any'),
    ])
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect((await collect(store.readAll(0))).map(({ stream }) => stream)).toEqual(['a', 'c'])
  })

  it('[R14] hides a connection that broke in the middle of a batch', async () => {
    const store = open()
    await store.head()
    const free = await holdCounter()
    const appends = [store.append('s', newEvents(1), 'no-stream'), store.append('s', newEvents(1), 0)]
    await until(async () => (await waiting()) === 1)
    await terminate('appends')
    await free()
    expect((await Promise.all(appends)).map(({ outcome }) => outcome)).toEqual(['appended', 'appended'])
    expect(await store.head()).toBe(2)
  })

  it('has a bounded queue: beyond it appends fail at once, those in it are written', async () => {
    const store = open()
    await store.head()
    const free = await holdCounter()
    const append = () => store.append('s', newEvents(1), 'any')
    const results = Promise.allSettled(Array.from({ length: 20_500 }, append))
    await until(() =>
      append().then(
        () => false,
        (error) => error instanceof StoreUnavailable,
      ),
    )
    await free()
    const written = (await results).filter(({ status }) => status === 'fulfilled').length
    expect(written).toBeGreaterThanOrEqual(20_000)
    expect(written).toBeLessThan(20_500)
    expect(await store.head()).toBe(written)
  })

  it('does not trust the database’s defaults: durable against them, and refusing what would lose the order', async () => {
    await sql(`alter database ${database.connection.database} set synchronous_commit = off`)
    const store = open()
    await store.append('s', newEvents(1), 'any')
    await sql(`alter database ${database.connection.database} set default_transaction_isolation = 'repeatable read'`)
    await terminate()
    await expect(store.append('s', newEvents(1), 'any')).rejects.toThrow(/needs the isolation level read committed/)
  })
})
