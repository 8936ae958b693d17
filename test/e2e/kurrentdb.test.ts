// The whole product with its events in KurrentDB (the fake server of test/support/kurrentdb, on the wire) and its
// tables in PostgreSQL.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createKurrentEventStore } from '../../src/event-store/kurrentdb.ts'
import { openPool } from '../../src/postgres/connection.ts'
import { cliOf } from '../support/cli.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { disagreements, faultsOf, projectionsCaughtUp, recordsOf } from '../support/exactly-once.ts'
import { subscribe } from '../support/graphql-client.ts'
import { makeCertificates } from '../support/kurrentdb/certificates.ts'
import { type FakeKurrentDb, startFakeKurrentDb } from '../support/kurrentdb/fake-server.ts'
import {
  databaseUrlOf,
  makeServerDirectory,
  markedProcesses,
  startTestServer,
  type TestServer,
} from '../support/server.ts'
import { waitUntil } from '../support/wait-until.ts'

/** A run that SIGTERM does not end, once all of it is there. */
async function startRun(server: TestServer, policy: object = { graceMs: 300 }): Promise<string> {
  const command = ['sh', '-c', 'trap "" TERM; setsid sleep 1006 & sleep 1007']
  const { startRun } = await server.ask(
    'mutation ($input: StartRunInput!) { startRun(input: $input) { ... on StartRunAnswer { run { id } } } }',
    { input: { workflow: 'BUILDER', command, policy } },
  )
  await waitUntil(() => markedProcesses(startRun.run.id).length >= 3, 'the run to live')
  return startRun.run.id
}

const killRun = async (server: TestServer, input: object) =>
  (
    await server.ask(
      `mutation ($input: KillRunInput!) { killRun(input: $input) {
        __typename
        ... on Problem { message }
        ... on KillRunAnswer { success cleanupStatus waitExpired run { status receipt { proven } } }
        ... on EmergencyKillAnswer { success receipt { proven } }
      } }`,
      { input },
    )
  ).killRun

type Event = { type: string; occurredAt: string; recordedAt: string }
async function eventsOf(server: TestServer, id: string): Promise<Event[]> {
  const document = 'query ($id: ID!) { runEvents(id: $id) { edges { node { type occurredAt recordedAt } } } }'
  const { runEvents } = await server.ask(document, { id })
  return runEvents.edges.map(({ node }: { node: Event }) => node)
}
const typesOf = async (server: TestServer, id: string) => (await eventsOf(server, id)).map(({ type }) => type)

const ready = (server: TestServer) =>
  waitUntil(async () => (await fetch(`${server.url}/readyz`)).ok, 'the server to be ready', 30_000, server.output)

const killedInOrder = ['KillRequested', 'SigtermSent', 'SigkillSent', 'ProcessExited', 'RunKilled', 'RunCleaned']

describe('events in KurrentDB, tables in the embedded PostgreSQL', () => {
  const directory = makeServerDirectory()
  let kurrentdb: FakeKurrentDb
  let server: TestServer
  const start = (until?: 'live') =>
    startTestServer({
      dataDirectory: directory.path,
      env: { EVENT_STORE_URL: kurrentdb.connectionString() },
      ...(until && { until }),
    })
  const { ok, json } = cliOf(() => server)

  beforeAll(async () => {
    kurrentdb = await startFakeKurrentDb()
    server = await start()
  })
  afterAll(async () => {
    await server?.stop()
    await kurrentdb?.stop()
    await directory.remove()
  })

  it('[R41] [R1] [R23] kills with a receipt, and tells of it as it happens', async () => {
    const id = await startRun(server)
    const events = subscribe(server.url, server.token, `subscription { runEvents(id: "${id}") { node { type } } }`)
    const changes = subscribe(server.url, server.token, `subscription { runChanged(runId: "${id}") { status } }`)
    await events.next()
    expect(await killRun(server, { runId: id, reason: 'stuck' })).toMatchObject({
      ...{ __typename: 'KillRunAnswer', success: true, cleanupStatus: 'DONE', waitExpired: false },
      run: { status: 'KILLED', receipt: { proven: true } },
    })
    expect(markedProcesses(id)).toEqual([])
    await events.ended()
    const told = events.received.map(({ runEvents }) => runEvents.node.type)
    expect(told).toEqual(await typesOf(server, id))
    expect(told.filter((type) => killedInOrder.includes(type))).toEqual(killedInOrder)
    await changes.until(({ runChanged }) => runChanged.status === 'KILLED')
    await changes.close()
  })

  it('[R41] [R2] [R24] restarts, and replays: the timeline, and the run as it was at an event', async () => {
    const id = await startRun(server)
    const { newRunId } = await json('restart', id, '--reason', 'again')
    try {
      expect(await ok('timeline', id)).toContain('killed: proven dead')
      expect(await ok('show', id, '--at', '1')).toContain('RUNNING')
      expect(await ok('show', id)).toContain('KILLED')
      expect(await ok('show', newRunId)).toContain(id)
    } finally {
      expect(await killRun(server, { runId: newRunId, force: true })).toMatchObject({ success: true })
    }
  })

  it('[R41] [R14] a kill goes on while KurrentDB is away; its facts come later, with the times at which they happened', async () => {
    const id = await startRun(server, { graceMs: 1_500 })
    await killRun(server, { runId: id, waitFor: 'ACCEPTED' })
    await waitUntil(async () => (await typesOf(server, id)).includes('SigtermSent'), 'the first signal')
    await kurrentdb.stop()
    await waitUntil(() => markedProcesses(id).length === 0, 'everybody to be gone', 20_000)
    expect((await fetch(`${server.url}/readyz`)).status).toBe(503)
    const backAt = new Date(Math.floor(Date.now() / 1_000) * 1_000).toISOString()
    await kurrentdb.start()
    await waitUntil(async () => (await typesOf(server, id)).at(-1) === 'RunCleaned', 'the record to follow', 30_000)
    await ready(server)
    const events = await eventsOf(server, id)
    expect(events.map(({ type }) => type).filter((type) => killedInOrder.includes(type))).toEqual(killedInOrder)
    const killed = events.find(({ type }) => type === 'SigkillSent')
    // KurrentDB's client tells the recording's time in whole seconds.
    expect(killed && killed.recordedAt >= backAt, JSON.stringify({ killed, backAt })).toBe(true)
    expect(killed && killed.occurredAt < new Date(Date.parse(backAt) + 1_000).toISOString()).toBe(true)
  }, 60_000)

  it('[R41] [R4] an emergency kill while KurrentDB is away; a plain one says that it is', async () => {
    const id = await startRun(server)
    await waitUntil(async () => (await typesOf(server, id)).includes('RunStarted'), 'its start to be recorded')
    await kurrentdb.stop()
    expect(await killRun(server, { runId: id, force: true })).toMatchObject({ __typename: 'StoreUnavailable' })
    expect(await killRun(server, { runId: id, emergency: true })).toMatchObject({
      ...{ __typename: 'EmergencyKillAnswer', success: true, receipt: { proven: true } },
    })
    expect(markedProcesses(id)).toEqual([])
    await kurrentdb.start()
    await waitUntil(async () => (await typesOf(server, id)).at(-1) === 'RunCleaned', 'the record to follow', 30_000)
  }, 60_000)

  it('[R41] [R14] a server killed with -9 is followed by one that starts while KurrentDB is away', async () => {
    const id = await startRun(server, { graceMs: 60_000 })
    await killRun(server, { runId: id, waitFor: 'ACCEPTED' })
    await server.crash()
    await kurrentdb.stop()
    server = await start('live')
    expect((await fetch(`${server.url}/readyz`)).status).toBe(503)
    await kurrentdb.start()
    await ready(server)
    expect(await killRun(server, { runId: id, force: true })).toMatchObject({
      ...{ success: true, run: { status: 'KILLED', receipt: { proven: true } } },
    })
    expect(markedProcesses(id)).toEqual([])
  }, 60_000)

  it('[R41] tables are built anew from KurrentDB, and say the same', async () => {
    const runs = () => ok('ls', '--all', '--json')
    const before = await runs()
    const { rebuildProjections } = await server.ask(
      'mutation { rebuildProjections { __typename ... on RebuildProjectionsAnswer { projections { name events } } } }',
    )
    expect(rebuildProjections.__typename).toBe('RebuildProjectionsAnswer')
    expect(await runs()).toEqual(before)
    expect(await ok('store', 'stats')).toContain('KurrentDB 26.1.0')
  })
})

describe('two servers on one KurrentDB and one PostgreSQL', () => {
  const directories = [makeServerDirectory(), makeServerDirectory()] as const
  let database: TestDatabase
  let kurrentdb: FakeKurrentDb
  const servers: TestServer[] = []
  const start = (dataDirectory: string) =>
    startTestServer({
      dataDirectory,
      env: { DATABASE_URL: databaseUrlOf(database), EVENT_STORE_URL: kurrentdb.connectionString() },
    })

  beforeAll(async () => {
    database = await createTestDatabase()
    kurrentdb = await startFakeKurrentDb()
    for (const { path } of directories) servers.push(await start(path))
  })
  afterAll(async () => {
    for (const server of servers) await server.stop()
    await kurrentdb?.stop()
    for (const directory of directories) await directory.remove()
    await database?.drop()
  })

  it('[R41] [R14] a kill asked of either reaches the host of its run, and both tell the same', async () => {
    const [first, second] = servers as [TestServer, TestServer]
    const ids = [await startRun(first), await startRun(second)]
    const changes = subscribe(first.url, first.token, 'subscription { runChanged { id status } }')
    for (const [asked, id] of [
      [second, ids[0]],
      [first, ids[1]],
    ] as const) {
      expect(await killRun(asked, { runId: id })).toMatchObject({
        ...{ success: true, cleanupStatus: 'DONE', run: { status: 'KILLED', receipt: { proven: true } } },
      })
      expect(markedProcesses(id ?? '')).toEqual([])
      await changes.until(({ runChanged }) => runChanged.id === id && runChanged.status === 'KILLED')
      expect(await typesOf(first, id ?? '')).toEqual(await typesOf(second, id ?? ''))
    }
    await changes.close()
  }, 60_000)

  it('[R41] [R14] one is killed with -9 amid a kill asked of the other; its next start ends it, exactly once', async () => {
    const [first, second] = servers as [TestServer, TestServer]
    const id = await startRun(first, { graceMs: 1_000 })
    const killing = killRun(second, { runId: id })
    await waitUntil(async () => (await typesOf(second, id)).includes('SigtermSent'), 'the first signal')
    await first.crash()
    servers[0] = await start(directories[0].path)
    expect(await killing).toMatchObject({ success: true, run: { status: 'KILLED', receipt: { proven: true } } })
    await expectExactlyOnce()
  }, 60_000)

  /** The record in KurrentDB, the tables in PostgreSQL and this machine's processes say the same. */
  async function expectExactlyOnce(): Promise<void> {
    const store = createKurrentEventStore(kurrentdb.connectionString())
    const pool = openPool(database.connection, { purpose: 'test' })
    try {
      await projectionsCaughtUp(store, pool)
      const records = await recordsOf(store.readAll(0))
      expect([...records.values()].flatMap((record) => faultsOf(record, records))).toEqual([])
      expect(await disagreements(records, pool)).toEqual([])
    } finally {
      await store.close()
      await pool.end()
    }
  }
})

it('[R41] [R14] KurrentDB refuses the password of a server that runs: it says so, kills in an emergency, and goes on when let in', async () => {
  const directory = makeServerDirectory()
  const database = await createTestDatabase()
  const certificates = makeCertificates()
  const authority = join(directory.path, 'ca.pem')
  writeFileSync(authority, certificates.authority)
  const users = { admin: 'changeit' }
  const kurrentdb = await startFakeKurrentDb({ certificates, users })
  const query = `tlsCAFile=${encodeURIComponent(authority)}`
  const EVENT_STORE_URL = kurrentdb.connectionString({ credentials: 'admin:changeit', query })
  const env = { DATABASE_URL: databaseUrlOf(database), EVENT_STORE_URL }
  const server = await startTestServer({ dataDirectory: directory.path, env })
  try {
    const id = await startRun(server)
    await waitUntil(async () => (await typesOf(server, id)).includes('RunStarted'), 'its start to be recorded')
    users.admin = 'another'
    kurrentdb.cut()
    expect(await killRun(server, { runId: id })).toMatchObject({
      ...{ __typename: 'StoreUnavailable', message: expect.stringContaining('refuses the user or password') },
    })
    expect(await killRun(server, { runId: id, emergency: true })).toMatchObject({ receipt: { proven: true } })
    users.admin = 'changeit'
    await waitUntil(async () => (await typesOf(server, id)).at(-1) === 'RunCleaned', 'the record to follow', 30_000)
    await ready(server)
  } finally {
    await server.stop()
    await kurrentdb.stop()
    await directory.remove()
    await database.drop()
  }
}, 60_000)
