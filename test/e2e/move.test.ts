import { execFile } from 'node:child_process'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { type FakeKurrentDb, startFakeKurrentDb } from '../support/kurrentdb/fake-server.ts'
import { databaseUrlOf, makeServerDirectory, markedProcesses, startTestServer } from '../support/server.ts'
import { makeTemporaryDirectory } from '../support/temporary-directory.ts'
import { waitUntil } from '../support/wait-until.ts'

const main = join(import.meta.dirname, '../../src/main.ts')
const directory = makeServerDirectory()
const files = makeTemporaryDirectory()
let database: TestDatabase
let other: TestDatabase
let third: TestDatabase
let kurrentdb: FakeKurrentDb

beforeAll(async () => {
  database = await createTestDatabase()
  other = await createTestDatabase()
  third = await createTestDatabase()
  kurrentdb = await startFakeKurrentDb()
})
afterAll(async () => {
  await directory.remove()
  files.remove()
  await kurrentdb.stop()
  await database.drop()
  await other.drop()
  await third.drop()
})

type Ended = { code: number; stdout: string; stderr: string }

function runwarden(argv: string[], env: Record<string, string> = {}): Promise<Ended> {
  const { PATH, HOME, TMPDIR } = process.env
  const whole = { PATH, HOME, TMPDIR, RUNWARDEN_DATA_DIR: directory.path, RUNWARDEN_PORT: '0', ...env }
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...argv], { env: whole, maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1
      resolve({ code, stdout, stderr })
    })
  })
}

const listing = `{ runs(first: 100) { edges { node {
  id workflow status verdict { verdict } pid startedAt endedAt revision requestedAt turns receipt { json }
  timeline(first: 100) { edges { node { revision type at summary } } }
} } } audit(first: 100) { edges { node { id at action decision outcome } } } }`

it('[R41] a history moves from PostgreSQL to KurrentDB, and the runs that live go on with it', async () => {
  const file = join(files.path, 'history.ndjson.gz')
  const before = await startTestServer({ dataDirectory: directory.path })
  const start = async (command: string[]): Promise<string> => {
    const document = `mutation ($command: [String!]) {
      startRun(input: {command: $command}) { ... on StartRunAnswer { run { id } } ... on Problem { message } }
    }`
    return (await before.ask(document, { command })).startRun.run.id
  }
  const ended = await start(['true'])
  const alive = await start(['sh', '-c', 'setsid sleep 1000 & sleep 1001'])
  const run = async (server: typeof before, id: string) =>
    (await server.ask('query ($id: ID!) { run(id: $id) { status pid cleanup { status } } }', { id })).run
  await waitUntil(async () => (await run(before, ended)).cleanup.status === 'DONE', 'the end of the first run')
  await waitUntil(async () => (await run(before, alive)).status === 'RUNNING', 'the start of the second')
  const { pid } = await run(before, alive)
  const shown = await before.ask(listing)

  // While a server runs: a whole history, but not the last word of the runs that live.
  const beside = await runwarden(['export', join(files.path, 'beside.ndjson'), '--json'])
  expect(beside, beside.stderr).toMatchObject({ code: 0 })
  expect(JSON.parse(beside.stdout)).toMatchObject({ type: 'exported', isFinal: false })
  expect(await runwarden(['import', join(files.path, 'beside.ndjson')])).toMatchObject({ code: 5 })

  await before.stop()
  const target = { EVENT_STORE_URL: kurrentdb.connectionString(), DATABASE_URL: databaseUrlOf(database) }
  const notFinal = await runwarden(['import', join(files.path, 'beside.ndjson')], target)
  expect(notFinal.code).toBe(5)
  expect(notFinal.stderr).toContain('--rebind')
  const exported = await runwarden(['export', file])
  expect(exported, exported.stderr).toMatchObject({ code: 0 })
  expect(statSync(file).mode & 0o777).toBe(0o600)
  const imported = await runwarden(['import', file, '--json'], target)
  expect(imported, imported.stderr).toMatchObject({ code: 0 })
  expect(JSON.parse(imported.stdout)).toMatchObject({ type: 'imported', wasThere: false, rebound: true })

  // The store that it came from has nothing more to say about these runs.
  const old = await runwarden(['up'])
  expect(old.code).toBe(5)
  expect(old.stderr).toContain('belongs to the event store')

  const after = await startTestServer({ dataDirectory: directory.path, env: target })
  try {
    await waitUntil(
      async () =>
        (await after.ask('{ projections { lag } }')).projections.every(({ lag }: { lag: number }) => lag === 0),
      'the projections to be built from the new store',
      30_000,
    )
    const now = await after.ask(listing)
    const others = ({ runs }: typeof shown) =>
      runs.edges.filter(({ node }: { node: { id: string } }) => node.id !== alive)
    expect(others(now)).toEqual(others(shown))
    expect(now.audit).toEqual(shown.audit)
    expect(await run(after, alive)).toMatchObject({ status: 'RUNNING', pid })
    const backup = await runwarden(['export', join(files.path, 'backup.ndjson')], target)
    expect(backup, backup.stderr).toMatchObject({ code: 0 })
    const { killRun } = await after.ask(
      `mutation ($id: ID!) { killRun(input: {runId: $id, force: true}) { ... on KillRunAnswer { success } } }`,
      { id: alive },
    )
    expect(killRun).toEqual({ success: true })
    expect(markedProcesses(alive)).toEqual([])
    expect((await run(after, ended)).status).toBe('COMPLETED')
  } finally {
    await after.stop()
  }

  // The new store is lost, and the backup is from before the kill: the host tells again what the backup lacks.
  const last = { DATABASE_URL: databaseUrlOf(third) }
  const restored = await runwarden(['import', join(files.path, 'backup.ndjson'), '--rebind'], last)
  expect(restored, restored.stderr).toMatchObject({ code: 0 })
  const final = await startTestServer({ dataDirectory: directory.path, env: last })
  try {
    const settled = async () => {
      const { status, cleanup } = await run(final, alive)
      return status === 'KILLED' && cleanup.status === 'DONE'
    }
    await waitUntil(settled, 'the kill to be told again', 30_000)
  } finally {
    await final.stop()
  }

  // The server has run since: that export is no longer all that this host has told.
  expect(existsSync(join(directory.path, 'last-export.json'))).toBe(false)
}, 120_000)

it('[R41] nothing is made for a damaged file, and half a history is not served', async () => {
  const cut = join(files.path, 'cut.ndjson')
  writeFileSync(cut, readFileSync(join(files.path, 'beside.ndjson')).subarray(0, -5))
  const fresh = join(files.path, 'fresh')
  const refused = await runwarden(['import', cut], { RUNWARDEN_DATA_DIR: fresh })
  expect(refused).toMatchObject({ code: 1, stdout: '' })
  expect(refused.stderr).toContain('nothing was written')
  expect(existsSync(fresh)).toBe(false)
  expect(await runwarden(['import', join(files.path, 'none')])).toMatchObject({ code: 3 })
  expect(await runwarden(['export'], { RUNWARDEN_DATA_DIR: fresh })).toMatchObject({ code: 3, stdout: '' })

  const env = { RUNWARDEN_DATA_DIR: fresh, DATABASE_URL: databaseUrlOf(other) }
  const whole = join(files.path, 'beside.ndjson')
  expect(await runwarden(['import', whole], env)).toMatchObject({ code: 0 })
  // As a kill -9 before the end leaves it.
  const { Client } = (await import('pg')).default
  const client = new Client(other.connection)
  await client.connect()
  await client.query(`delete from event_store.events where stream = 'import' and revision = 1`)
  await client.end()
  const served = await runwarden(['up'], env)
  expect(served.code).toBe(5)
  expect(served.stderr).toContain('runwarden import FILE')
  const again = await runwarden(['export', join(files.path, 'half')], env)
  expect(again.code).toBe(5)
}, 120_000)
