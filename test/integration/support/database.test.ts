import pg from 'pg'
import { expect, it } from 'vitest'
import { createTestDatabase } from '../../support/database.ts'

it('gives each test an empty database of its own', async () => {
  const [one, other] = await Promise.all([createTestDatabase(), createTestDatabase()])
  const client = new pg.Client(one.connection)
  client.on('error', () => {})
  try {
    await client.connect()
    const { rows } = await client.query(
      'select current_database() as name, count(*)::int as tables from pg_tables where schemaname = $1',
      ['public'],
    )
    expect(rows).toEqual([{ name: one.connection.database, tables: 0 }])
    expect(one.connection.database).not.toBe(other.connection.database)
  } finally {
    // While a client is still connected.
    await Promise.all([one.drop(), other.drop()])
    await client.end()
  }
})
