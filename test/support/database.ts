import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'

export type TestDatabase = {
  connection: pg.PoolConfig
  /** Cuts off whoever is still connected. */
  drop(): Promise<void>
}

/** A fresh, empty database of its own in the PostgreSQL that runs for the whole test run. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const server = inject('postgres')
  const name = `test_${randomBytes(6).toString('hex')}`
  await execute(server, `create database ${name} strategy wal_log`)
  return {
    connection: { ...server, database: name },
    drop: () => execute(server, `drop database ${name} with (force)`),
  }
}

async function execute(connection: pg.ClientConfig, sql: string): Promise<void> {
  const client = new pg.Client(connection)
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}
