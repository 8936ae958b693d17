import type pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createPostgresEventStore } from '../../../src/event-store/postgres.ts'
import { openPool } from '../../../src/postgres/connection.ts'
import { DatabaseTooNew, migrate } from '../../../src/postgres/migrate.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'
import { startProgram } from '../../support/program.ts'

describe('migrate', () => {
  let database: TestDatabase
  let pools: pg.Pool[]
  const open = (connection = database.connection) => {
    const pool = openPool(connection, { purpose: 'test' })
    pools.push(pool)
    return pool
  }

  beforeEach(async () => {
    pools = []
    database = await createTestDatabase()
  })
  afterEach(async () => {
    await Promise.all(pools.map((pool) => pool.end()))
    await database.drop()
  })

  it('brings an empty database up to date, and changes nothing the second time', async () => {
    const pool = open()
    const { from, to } = await migrate(pool)
    expect(from).toBe(0)
    expect(to).toBeGreaterThanOrEqual(2)
    expect(await migrate(pool)).toEqual({ from: to, to })
    const { rows } = await pool.query('select id from event_store.migrations order by id')
    expect(rows.map(({ id }) => id)).toEqual(Array.from({ length: to }, (_, index) => index + 1))
  })

  it('is safe when several processes start at once', async () => {
    const programs = [1, 2, 3, 4].map(() => startProgram('migrate.ts', [JSON.stringify(database.connection)]))
    // Processes take their time to start: pools of this one make sure that some begin in the same moment.
    const here = await Promise.all([1, 2, 3, 4, 5, 6].map(() => migrate(open())))
    const { to } = here[0] ?? { to: 0 }
    for (const result of here) expect(result.to).toBe(to)
    for (const program of programs) expect(await program.next()).toMatchObject({ to })
    await Promise.all(programs.map((program) => program.end()))
    const { rows } = await open().query('select count(*)::int as stores from event_store.identity')
    expect(rows).toEqual([{ stores: 1 }])
  })

  it('refuses a database of a newer version, says both versions and the way out, and changes nothing', async () => {
    const pool = open()
    const { to } = await migrate(pool)
    await pool.query("insert into event_store.migrations (id, name) values (9999, 'from-the-future')")
    const refusal = await migrate(pool).catch((error) => error)
    expect(refusal).toBeInstanceOf(DatabaseTooNew)
    expect(refusal).toMatchObject({ database: 9999, supported: to })
    expect(refusal.message).toMatch(/version 9999.*up to \d+.*Start that version again, or restore a backup/)

    const store = createPostgresEventStore({ connection: database.connection })
    await expect(store.head()).rejects.toThrow(DatabaseTooNew)
    await store.close()
  })

  it('goes on where a migration failed, once the cause is gone', async () => {
    const pool = open()
    await pool.query('create schema event_store; create table event_store.streams (in_the_way integer)')
    await expect(migrate(pool)).rejects.toThrow(/already exists/)
    await pool.query('drop table event_store.streams')
    expect(await migrate(pool)).toMatchObject({ from: 0 })
  })

  it('refuses a database that is not UTF8', async () => {
    const name = `${database.connection.database}_latin`
    const admin = open()
    await admin.query(`create database ${name} encoding 'LATIN1' locale 'C' template template0`)
    try {
      const pool = openPool({ ...database.connection, database: name }, { purpose: 'test' })
      await expect(migrate(pool)).rejects.toThrow(/encoded in LATIN1, Runwarden needs UTF8/)
      await pool.end()
    } finally {
      await admin.query(`drop database ${name} with (force)`)
    }
  })
})
