import type pg from 'pg'
import { allProjections } from '../projections/all.ts'
import { createProjector, type Projector } from '../projections/projector.ts'
import type { EventStore } from '../src/event-store/event-store.ts'
import { createPostgresEventStore } from '../src/event-store/postgres.ts'
import { openPool } from '../src/postgres/connection.ts'
import { type BenchDatabase, withDatabase } from './database.ts'
import { writeHistory } from './history.ts'

export type Projecting = {
  database: BenchDatabase
  store: EventStore
  pool: pg.Pool
  projector: Projector
  events: number
}

/** Runs `work` with a history of so many events, and a projector that has not been started. */
export function withHistory<Result>(
  events: number,
  say: (text: string) => void,
  work: (projecting: Projecting) => Promise<Result>,
): Promise<Result> {
  return withDatabase(async (database) => {
    const store = createPostgresEventStore({ connection: database.connection })
    const pool = openPool(database.connection, { purpose: 'bench', statementTimeoutMs: 0 })
    const log = {
      info() {},
      error: (details: object, message: string) => say(`${message}: ${JSON.stringify(details)}`),
    }
    const projector = createProjector({ store, pool, projections: allProjections, log })
    try {
      say(`writing a history of ${events} events`)
      const written = await writeHistory(store, events)
      await pool.query('VACUUM ANALYZE')
      return await work({ database, store, pool, projector, events: written })
    } finally {
      await projector.close()
      await store.close()
      await pool.end()
    }
  })
}

export type Taken = { perSecond: number; nodeCpuMs: number; postgresCpuMs: number }

/** What `work` on so many events took: events per second; CPU time of this process and of PostgreSQL. */
export async function timed(events: number, database: BenchDatabase, work: () => Promise<unknown>): Promise<Taken> {
  const [cpu, postgresCpu, begun] = [process.cpuUsage(), database.cpuMs(), performance.now()]
  await work()
  const seconds = (performance.now() - begun) / 1_000
  const { user, system } = process.cpuUsage(cpu)
  return {
    perSecond: events / seconds,
    nodeCpuMs: (user + system) / 1_000,
    postgresCpuMs: database.cpuMs() - postgresCpu,
  }
}

/** Resolves when every projection holds everything that is in the store now. */
export async function caughtUp({ store, projector }: Projecting): Promise<void> {
  const head = await store.head()
  const signal = AbortSignal.timeout(10 * 60_000)
  await Promise.all(projector.names.map((name) => projector.waitFor(head, signal, name)))
}

/**
 * The peer: what PostgreSQL alone takes to write the very same rows, set-based, with the same indexes: nothing is read
 * from the events and nothing is folded.
 */
export async function insertSelect(pool: pg.Pool): Promise<void> {
  const client = await pool.connect()
  try {
    for (const { ddl, tables } of allProjections) {
      const copies = tables.map((table) => `INSERT INTO ${table} SELECT * FROM public.${table}`)
      await client.query(
        `BEGIN; CREATE SCHEMA peer; SET LOCAL search_path = peer; ${ddl}; ${copies.join('; ')}; COMMIT`,
      )
      await client.query('DROP SCHEMA peer CASCADE')
    }
  } finally {
    client.release()
  }
}
