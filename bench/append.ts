import { randomUUID } from 'node:crypto'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import type { NewEvent } from '../src/domain/event.ts'
import { createPostgresEventStore } from '../src/event-store/postgres.ts'
import { type DatabaseConnection, openPool } from '../src/postgres/connection.ts'
import { startEmbeddedPostgres } from '../src/postgres/embedded.ts'
import { type Bench, drive, median, percentile } from './bench.ts'
import { findPgbench, insertsPerSecond } from './pgbench.ts'

const manyCallers = 128
/** As many as a careful application would open on a small server. */
const peerConnections = 32
/** Rounds of us and of the peers take turns, so that a disk that is slow for a while is slow for everybody. */
const rounds = 3
const roundMs = 2_000

/** Durable appends of one event each: by many callers, and by one. */
export const append: Bench = {
  name: 'append',
  async run() {
    const dataDirectory = await mkdtemp(join(tmpdir(), 'runwarden-bench-'))
    // As root, PostgreSQL runs as another account and has to pass through here.
    await chmod(dataDirectory, 0o711)
    try {
      const postgres = await startEmbeddedPostgres({ dataDirectory })
      try {
        return await measure(postgres.connection)
      } finally {
        await postgres.stop()
      }
    } finally {
      await rm(dataDirectory, { recursive: true, force: true })
    }
  },
}

async function measure(connection: DatabaseConnection) {
  const store = createPostgresEventStore({ connection })
  const pool = openPool(connection, { purpose: 'bench', max: peerConnections })
  const pgbench = findPgbench()
  if (pgbench === undefined) process.stderr.write('append: no pgbench on this machine, so its rate is not measured\n')
  try {
    const ours = (callers: number) =>
      drive(callers, roundMs, (caller) => store.append(`run-${caller}`, [heartbeat()], 'any'))
    await makePeerTables(pool)
    await drive(manyCallers, roundMs / 4, () => store.append('warm-up', [heartbeat()], 'any'))

    const rates = { many: [] as number[], one: [] as number[], each: [] as number[] }
    const pgbenchRates = { simple: [] as number[], prepared: [] as number[] }
    const latenciesMs = { many: [] as number[][], one: [] as number[][] }
    for (let round = 1; round <= rounds; round += 1) {
      process.stderr.write(`append: round ${round} of ${rounds}\n`)
      const many = await ours(manyCallers)
      const each = await drive(manyCallers, roundMs, (caller) =>
        appendInTransaction(pool, `run-${caller}`, heartbeat()),
      )
      const one = await ours(1)
      rates.many.push(many.perSecond)
      rates.each.push(each.perSecond)
      rates.one.push(one.perSecond)
      latenciesMs.many.push(many.durationsMs)
      latenciesMs.one.push(one.durationsMs)
      if (pgbench === undefined) continue
      for (const protocol of ['simple', 'prepared'] as const) {
        pgbenchRates[protocol].push(await insertsPerSecond(pgbench, connection, protocol, insertOne, roundMs))
      }
    }

    const [many, one, each] = [median(rates.many), median(rates.one), median(rates.each)]
    const [simple, prepared] = [median(pgbenchRates.simple), median(pgbenchRates.prepared)]
    return {
      figures: {
        callers128PerSecond: many,
        callers128P50Ms: percentile(latenciesMs.many.flat(), 50),
        callers128P99Ms: percentile(latenciesMs.many.flat(), 99),
        oneCallerPerSecond: one,
        oneCallerP50Ms: percentile(latenciesMs.one.flat(), 50),
        oneCallerP99Ms: percentile(latenciesMs.one.flat(), 99),
      },
      peers: {
        transactionEach: { callers128PerSecond: each },
        ...(pgbench !== undefined && {
          pgbench: { oneCallerPerSecond: simple },
          pgbenchPrepared: { oneCallerPerSecond: prepared },
        }),
      },
      ratios: {
        transactionEach: many / each,
        ...(pgbench !== undefined && { pgbench: one / simple, pgbenchPrepared: one / prepared }),
      },
    }
  } finally {
    await Promise.all([store.close(), pool.end()])
  }
}

const heartbeat = (): NewEvent => ({
  type: 'HeartbeatRecorded',
  v: 1,
  data: { progressPercent: 40, processes: 4, cpuMs: 1_234, lastOutput: 'Now let me set everything up:' },
  metadata: {
    eventId: randomUUID(),
    actor: { kind: 'host', id: 'host_0123456789ab' },
    correlationId: randomUUID(),
    occurredAt: new Date().toISOString(),
  },
})

/** The peers write the same row; pgbench with the indexes that an event needs, the other with the primary key only. */
async function makePeerTables(pool: pg.Pool): Promise<void> {
  await pool.query(`
    create table peer_counter (position bigint not null) with (fillfactor = 10);
    insert into peer_counter values (0);
    create table peer_events (
      position bigint primary key, stream text not null, event_id uuid not null, type text not null, v integer not null,
      data json not null, metadata json not null, recorded_at timestamptz not null default now()
    );
    create table pgbench_events (like peer_events including all);
    alter table pgbench_events
      alter position add generated always as identity,
      add revision bigint not null generated always as (position) stored,
      add unique (stream, revision),
      add unique (stream, event_id)`)
}

/** The usual way to gapless positions: lock the counter, write, commit; each append for itself, in one round trip. */
function appendInTransaction(pool: pg.Pool, stream: string, event: NewEvent): Promise<unknown> {
  return pool.query({
    name: 'append',
    text: `
      with counter as (update peer_counter set position = position + 1 returning position)
      insert into peer_events (position, stream, event_id, type, v, data, metadata)
      select position, $1, $2, $3, $4, $5, $6 from counter`,
    values: [stream, event.metadata.eventId, event.type, event.v, event.data, event.metadata],
  })
}

const insertOne = `
insert into pgbench_events (stream, event_id, type, v, data, metadata)
values ('run-1', gen_random_uuid(), 'HeartbeatRecorded', 1, '${JSON.stringify(heartbeat().data)}', '${JSON.stringify(heartbeat().metadata)}');
`
