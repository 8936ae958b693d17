import { randomBytes } from 'node:crypto'
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { createPostgresEventStore } from '../src/event-store/postgres.ts'
import { type DatabaseConnection, openPool } from '../src/postgres/connection.ts'
import { startEmbeddedPostgres } from '../src/postgres/embedded.ts'
import { type Bench, drive, median, percentile } from './bench.ts'
import { openEmmett } from './emmett.ts'
import { heartbeat } from './heartbeat.ts'
import { findPgbench, insertsPerSecond, type Protocol } from './pgbench.ts'

const manyCallers = 128
/** Pools that a careful application opens on a small server; Emmett is measured with the one that serves it best. */
const poolSizes = [10, 20, 32]
/** We and the peers take turns, and are compared round by round: what slows the machine for a while slows everybody. */
const rounds = 12
const roundMs = 1_000
/** Many callers make enough appends in less. */
const manyMs = 500

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
        return await measure(postgres.connection, dataDirectory)
      } finally {
        await postgres.stop()
      }
    } finally {
      await rm(dataDirectory, { recursive: true, force: true })
    }
  },
}

type Driven = Awaited<ReturnType<typeof drive>>
/** Ours in full, of the peers the appends per second. */
type Round = {
  many: Driven
  one: Driven
  emmettMany: number
  emmettOne: number
  nodeInsert: number
  pgbench: number
  pgbenchPrepared: number
  fdatasync: number
}

async function measure(connection: DatabaseConnection, directory: string) {
  const store = createPostgresEventStore({ connection })
  const client = openPool(connection, { purpose: 'bench', max: 1 })
  const emmett = await openBestEmmett(connection)
  const pgbench = findPgbench()
  if (pgbench === undefined) process.stderr.write('append: no pgbench on this machine, so its rate is not measured\n')
  try {
    await makePeerTable(client)
    const ours = (callers: number) =>
      drive(callers, callers === 1 ? roundMs : manyMs, (caller) => store.append(`run-${caller}`, [heartbeat()], 'any'))
    const emmetts = (callers: number) =>
      drive(callers, callers === 1 ? roundMs / 2 : manyMs, (caller) => emmett.append(`run-${caller}`, heartbeat()))
    const pgbenchs = (protocol: Protocol) =>
      pgbench === undefined ? Number.NaN : insertsPerSecond(pgbench, connection, protocol, insertOne, roundMs)
    await ours(manyCallers)
    await drive(1, roundMs, () => insertFromNode(client))

    const taken: Round[] = []
    for (let round = 1; round <= rounds; round += 1) {
      process.stderr.write(`append: round ${round} of ${rounds}\n`)
      taken.push(
        await inTurn(round, {
          many: () => ours(manyCallers),
          emmettMany: async () => (await emmetts(manyCallers)).perSecond,
          one: () => ours(1),
          pgbench: async () => pgbenchs('simple'),
          pgbenchPrepared: async () => pgbenchs('prepared'),
          nodeInsert: async () => (await drive(1, roundMs, () => insertFromNode(client))).perSecond,
          emmettOne: async () => (await emmetts(1)).perSecond,
          fdatasync: async () => syncsPerSecond(join(directory, 'fdatasync'), roundMs / 2),
        }),
      )
    }

    const medianOf = (rate: (round: Round) => number) => median(taken.map(rate))
    const many = taken.flatMap((round) => round.many.durationsMs)
    const one = taken.flatMap((round) => round.one.durationsMs)
    return {
      figures: {
        callers128PerSecond: medianOf((round) => round.many.perSecond),
        callers128P50Ms: percentile(many, 50),
        callers128P99Ms: percentile(many, 99),
        oneCallerPerSecond: medianOf((round) => round.one.perSecond),
        oneCallerP50Ms: percentile(one, 50),
        oneCallerP99Ms: percentile(one, 99),
      },
      peers: {
        emmett: {
          callers128PerSecond: medianOf((round) => round.emmettMany),
          oneCallerPerSecond: medianOf((round) => round.emmettOne),
          poolConnections: emmett.connections,
        },
        // What the disk allows one caller who waits for it each time.
        fdatasync: { oneCallerPerSecond: medianOf((round) => round.fdatasync) },
        // The same row from Node: what is left of the distance to pgbench is the language's, not the store's.
        nodeInsert: { oneCallerPerSecond: medianOf((round) => round.nodeInsert) },
        ...(pgbench !== undefined && {
          pgbench: { oneCallerPerSecond: medianOf((round) => round.pgbench) },
          pgbenchPrepared: { oneCallerPerSecond: medianOf((round) => round.pgbenchPrepared) },
        }),
      },
      ratios: {
        emmett: ratio('emmett, 128 callers', (round) => round.many.perSecond / round.emmettMany),
        emmettOneCaller: ratio('emmett, one caller', (round) => round.one.perSecond / round.emmettOne),
        fdatasync: ratio('fdatasync', (round) => round.one.perSecond / round.fdatasync),
        nodeInsert: ratio('nodeInsert', (round) => round.one.perSecond / round.nodeInsert),
        ...(pgbench !== undefined && {
          pgbench: ratio('pgbench', (round) => round.one.perSecond / round.pgbench),
          pgbenchPrepared: ratio('pgbenchPrepared', (round) => round.one.perSecond / round.pgbenchPrepared),
        }),
      },
    }

    /** The median of the rounds; how far they were apart goes to stderr. */
    function ratio(name: string, of: (round: Round) => number): number {
      const ratios = taken.map(of).toSorted((a, b) => a - b)
      process.stderr.write(`append: ${name}: ${ratios.map((each) => each.toFixed(2)).join(' ')}\n`)
      return median(ratios)
    }
  } finally {
    await Promise.all([store.close(), client.end(), emmett.close()])
  }
}

/**
 * Each round begins with another one: what a participant leaves behind (dirty pages, a log to be written back) falls on
 * whoever follows it, and that is somebody else each time.
 */
async function inTurn(round: number, work: { [Who in keyof Round]: () => Promise<Round[Who]> }): Promise<Round> {
  const names = Object.keys(work) as (keyof Round)[]
  // In steps of three: with eight of them, everybody also follows others than in the last round.
  const order = names.map(
    (_, index) => names[(round + index * (round % 2 === 0 ? 3 : 5)) % names.length] as keyof Round,
  )
  const results: Partial<Record<keyof Round, unknown>> = {}
  for (const name of order) results[name] = await work[name]()
  return results as Round
}

/** Also warms it up. */
async function openBestEmmett(connection: DatabaseConnection) {
  const tried = []
  for (const connections of poolSizes) {
    const emmett = await openEmmett(connection, connections)
    try {
      const append = (caller: number) => emmett.append(`run-${caller}`, heartbeat())
      await drive(manyCallers, roundMs / 2, append)
      tried.push({ connections, perSecond: (await drive(manyCallers, roundMs * 2, append)).perSecond })
    } finally {
      await emmett.close()
    }
  }
  const [best] = tried.toSorted((a, b) => b.perSecond - a.perSecond)
  const told = tried.map(({ connections, perSecond }) => `${connections}: ${Math.round(perSecond)}/s`)
  process.stderr.write(`append: emmett by connections: ${told.join(', ')}\n`)
  const connections = best?.connections ?? 10
  return { connections, ...(await openEmmett(connection, connections)) }
}

/** A page of 8 KiB, written over and over in place and synced, as a log's is. */
function syncsPerSecond(path: string, ms: number): number {
  const page = randomBytes(8 * 1024)
  const pages = 128
  const file = openSync(path, 'w')
  try {
    for (let index = 0; index < pages; index += 1) writeSync(file, page)
    fdatasyncSync(file)
    let count = 0
    const started = performance.now()
    for (; performance.now() - started < ms; count += 1) {
      writeSync(file, page, 0, page.length, (count % pages) * page.length)
      fdatasyncSync(file)
    }
    return count / ((performance.now() - started) / 1000)
  } finally {
    closeSync(file)
  }
}

/** A plain table with the columns and the indexes that an event needs. */
async function makePeerTable(pool: pg.Pool): Promise<void> {
  await pool.query(`
    create table peer_events (
      position bigint primary key generated always as identity,
      stream text not null,
      revision bigint not null generated always as (position) stored,
      event_id uuid not null,
      type text not null,
      v integer not null,
      data json not null,
      metadata json not null,
      recorded_at timestamptz not null default now(),
      unique (stream, revision),
      unique (stream, event_id)
    )`)
}

function insertFromNode(pool: pg.Pool): Promise<unknown> {
  const { type, v, data, metadata } = heartbeat()
  return pool.query({
    name: 'insert',
    text: 'insert into peer_events (stream, event_id, type, v, data, metadata) values ($1, $2, $3, $4, $5, $6)',
    values: ['run-0', metadata.eventId, type, v, data, metadata],
  })
}

const insertOne = `
insert into peer_events (stream, event_id, type, v, data, metadata)
values ('run-1', gen_random_uuid(), 'HeartbeatRecorded', 1, '${JSON.stringify(heartbeat().data)}', '${JSON.stringify(heartbeat().metadata)}');
`
