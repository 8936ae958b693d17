// The lifecycle goes on when the store is away: kills under way, with the embedded PostgreSQL frozen, killed, stopped, or
// without a byte of disk left. What happened meanwhile is appended later, in order, with the time at which it happened.
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import type { RunId } from '../../src/domain/ids.ts'
import type { ProcessIdentity } from '../../src/domain/process-identity.ts'
import { createPostgresEventStore } from '../../src/event-store/postgres.ts'
import { identityOf, isAlive, readStat } from '../../src/os/process-identity.ts'
import { connectionTo, takesConnections } from '../../src/postgres/connect.ts'
import { openPool } from '../../src/postgres/connection.ts'
import { whoServes } from '../../src/postgres/postmaster.ts'
import { disagreements, faultsOf, projectionsCaughtUp, recordsOf } from '../support/exactly-once.ts'
import { graphql } from '../support/graphql-client.ts'
import { makeServerDirectory, markedProcesses, startTestServer, type TestServer } from '../support/server.ts'
import { makeTemporaryDirectory } from '../support/temporary-directory.ts'
import { waitUntil } from '../support/wait-until.ts'

type Place = { server: TestServer; cluster: string }

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const directory = makeServerDirectory()
let place: Place
beforeAll(async () => {
  place = await serveIn(directory.path)
})
afterAll(async () => {
  await place?.server.stop()
  await directory.remove()
})

const serveIn = async (dataDirectory: string): Promise<Place> => ({
  server: await startTestServer({ dataDirectory }),
  cluster: join(dataDirectory, 'postgres/cluster'),
})

async function ask(place: Place, document: string, input: object) {
  const { server } = place
  const answer = await graphql(server.url, server.token, document, { input })
  expect(answer.errors).toBeUndefined()
  return Object.values(answer.data)[0] as { __typename: string; run?: { id: RunId } }
}
const startRun = (place: Place, input: object) =>
  ask(
    place,
    'mutation ($input: StartRunInput!) { startRun(input: $input) { __typename ... on StartRunAnswer { run { id } } } }',
    input,
  )
const killRun = (place: Place, input: object) =>
  ask(place, 'mutation ($input: KillRunInput!) { killRun(input: $input) { __typename } }', input)

const graceMs = 1_500

/** A run that is deaf to SIGTERM, has got one, and has its grace before it. */
async function beginKill(place: Place): Promise<RunId> {
  const { run } = await startRun(place, {
    command: ['sh', '-c', 'trap "" TERM; touch deaf; setsid sleep 1000 & sleep 1001'],
    policy: { graceMs, proofDeadlineMs: 20_000 },
  })
  if (run === undefined) throw new Error('the run was not started')
  const workspace = join(place.server.dataDirectory, 'host/workspaces', run.id)
  await waitUntil(() => existsSync(join(workspace, 'deaf')), 'the run to be deaf')
  expect(await killRun(place, { runId: run.id, waitFor: 'ACCEPTED' })).toMatchObject({ __typename: 'KillRunAnswer' })
  await untilJournalled(place, run.id, 'SigtermSent')
  return run.id
}

const hasJournalled = ({ server }: Place, runId: RunId, type: string) =>
  readFileSync(join(server.dataDirectory, 'host/runs', runId, 'facts.jsonl'), 'utf8').includes(`"${type}"`)
const untilJournalled = (place: Place, runId: RunId, type: string) =>
  waitUntil(() => hasJournalled(place, runId, type), `${type} in the host's journal`, 20_000)

const postmaster = ({ cluster }: Place): ProcessIdentity | undefined => {
  const serving = whoServes(cluster)
  return serving.state === 'running' ? serving.identity : undefined
}

/** One that is killed while it starts takes two seconds to be started again. */
async function readyPostmaster(place: Place): Promise<ProcessIdentity | undefined> {
  const serving = whoServes(place.cluster)
  if (serving.state !== 'running' || serving.socketDirectory === '') return undefined
  return (await takesConnections(serving.socketDirectory)) ? serving.identity : undefined
}

function signal(identity: ProcessIdentity, name: NodeJS.Signals): void {
  if (isAlive(identity)) process.kill(identity.pid, name)
}

const childrenOf = ({ pid }: ProcessIdentity): ProcessIdentity[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readStat(Number(name)) ?? [])
    .filter(({ ppid }) => ppid === pid)
    .map(identityOf)

/** The postmaster first, so that it has no more children. @returns thaws them */
function freeze(place: Place): () => void {
  const parent = postmaster(place)
  if (parent === undefined) throw new Error('no PostgreSQL serves')
  signal(parent, 'SIGSTOP')
  const family = [parent, ...childrenOf(parent)]
  for (const identity of family) signal(identity, 'SIGSTOP')
  const thaw = () => {
    for (const identity of family.reverse()) signal(identity, 'SIGCONT')
  }
  cleanups.push(thaw)
  return thaw
}

/** @returns what happened after the first signal, once the store has it all. */
async function expectWhole(place: Place, runId: RunId) {
  const { socketDirectory } = whoServes(place.cluster) as { socketDirectory: string }
  const connection = connectionTo(socketDirectory, 'runwarden')
  const store = createPostgresEventStore({ connection })
  const pool = openPool(connection, { purpose: 'test' })
  try {
    const records = await waitUntil(
      async () => {
        const all = await recordsOf(store.readAll(0))
        return all.get(runId)?.state.cleanup.doneAt != null && all
      },
      'the end of the run to be recorded',
      60_000,
      () => place.server.output().slice(-3_000),
    )
    expect([...records.values()].flatMap((record) => faultsOf(record, records))).toEqual([])
    expect(records.get(runId)?.state).toMatchObject({ status: 'KILLED', receipt: { proven: true } })
    await projectionsCaughtUp(store, pool)
    expect(await disagreements(records, pool)).toEqual([])
    const events = records.get(runId)?.events.filter(({ metadata }) => metadata.fact !== undefined) ?? []
    const types = events.map(({ type }) => type)
    const order = ['RunStarted', 'SigtermSent', 'SigkillSent', 'ProcessExited', 'RunKilled', 'RunCleaned']
    expect(types.filter((type) => order.includes(type))).toEqual(order)
    return events.slice(types.indexOf('SigtermSent') + 1)
  } finally {
    await store.close()
    await pool.end()
  }
}

it.each(['the same server', 'the next server, for this one was killed too'])(
  '[R14] while PostgreSQL hangs a kill goes on to its proof; what happened is told by %s',
  async (teller) => {
    const runId = await beginKill(place)
    const thaw = freeze(place)
    await untilJournalled(place, runId, 'RunCleaned')
    expect(markedProcesses(runId)).toEqual([])
    if (teller !== 'the same server') await place.server.crash()
    const thawedAt = new Date().toISOString()
    thaw()
    if (teller !== 'the same server') place = await serveIn(directory.path)
    const told = await expectWhole(place, runId)
    for (const { type, metadata, recordedAt } of told) {
      expect(metadata.occurredAt < thawedAt, type).toBe(true)
      expect(recordedAt >= thawedAt, type).toBe(true)
    }
  },
  120_000,
)

it.each(['SIGKILL', 'SIGINT'] as const)(
  '[R14] while PostgreSQL is ended by %s, again and again, a kill goes on to its proof, and nothing is lost',
  async (name) => {
    const runId = await beginKill(place)
    let ended = 0
    while (!hasJournalled(place, runId, 'RunCleaned') || ended < 2) {
      const serving = await waitUntil(() => readyPostmaster(place), 'PostgreSQL to be started again', 30_000)
      signal(serving, name)
      await waitUntil(() => !isAlive(serving), 'PostgreSQL to end', 30_000)
      ended += 1
    }
    expect(markedProcesses(runId)).toEqual([])
    await waitUntil(async () => (await fetch(`${place.server.url}/readyz`)).ok, 'the server to be ready again', 60_000)
    await expectWhole(place, runId)
    expect(await startRun(place, { command: ['true'] })).toMatchObject({ __typename: 'StartRunAnswer' })
  },
  120_000,
)

/** A disk of its own, which root can make. */
function makeDisk(size: string): string | undefined {
  const temporary = makeTemporaryDirectory()
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=0711`, 'runwarden-test', temporary.path])
  if (mounted.status !== 0) {
    temporary.remove()
    return undefined
  }
  cleanups.push(() => {
    spawnSync('umount', ['--lazy', temporary.path])
    temporary.remove()
  })
  return temporary.path
}

/** To the last byte. */
function fill(file: string): void {
  for (let bytes = 4 * 1024 * 1024; bytes >= 1; bytes = Math.floor(bytes / 2)) {
    try {
      for (;;) appendFileSync(file, Buffer.alloc(bytes))
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC')
    }
  }
}

it('[R10] [R14] with the disk full a kill goes on to its proof; the next server finds what happened', async (context) => {
  const disk = makeDisk('180m')
  if (disk === undefined) return context.skip('a disk of its own needs root, and the right to mount')
  const dataDirectory = join(disk, 'data')
  mkdirSync(dataDirectory, { mode: 0o711 })
  const place = await serveIn(dataDirectory)
  cleanups.push(() => place.server.stop())
  const runId = await beginKill(place)
  const filler = join(disk, 'filler')
  fill(filler)
  await untilJournalled(place, runId, 'RunCleaned')
  expect(markedProcesses(runId)).toEqual([])
  // More than what PostgreSQL has left within its own files.
  const words = Array.from({ length: 8 }, () => randomBytes(50_000).toString('hex'))
  const large = { command: ['true', ...words], idempotencyKey: 'large' }
  expect(await startRun(place, large)).toMatchObject({ __typename: 'StoreUnavailable' })
  await place.server.crash()
  rmSync(filler)
  const freedAt = new Date().toISOString()
  place.server = (await serveIn(dataDirectory)).server
  const told = await expectWhole(place, runId)
  for (const { type, metadata } of told) expect(metadata.occurredAt < freedAt, type).toBe(true)
  expect(await startRun(place, large)).toMatchObject({ __typename: 'StartRunAnswer' })
}, 120_000)
