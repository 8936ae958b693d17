import { once } from 'node:events'
import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { graphql } from '../support/graphql-client.ts'
import {
  databaseUrlOf,
  makeServerDirectory,
  markedProcesses,
  spawnServer,
  startTestServer,
  type TestServer,
} from '../support/server.ts'
import { waitUntil } from '../support/wait-until.ts'

const directory = makeServerDirectory()
let database: TestDatabase
let server: TestServer

beforeAll(async () => {
  database = await createTestDatabase()
  server = await startTestServer({ dataDirectory: directory.path, env: { DATABASE_URL: databaseUrlOf(database) } })
})
afterAll(async () => {
  await server?.stop()
  await directory.remove()
  await database?.drop()
})

const startDocument = `mutation ($input: StartRunInput!) {
  startRun(input: $input) {
    __typename
    ... on StartRunAnswer { run { id } }
    ... on InvalidInput { message issues { path message } }
    ... on Problem { message }
  }
}`
const killDocument = `mutation ($input: KillRunInput!) {
  killRun(input: $input) {
    __typename
    ... on KillRunAnswer { success joined message run { status receipt { proven processes { command } } } }
    ... on AlreadyEnded { run { status } }
    ... on Problem { message }
  }
}`
const runDocument = 'query ($id: ID!) { run(id: $id) { status failure { reason code message } cleanup { status } } }'

const start = async (input: object) => (await graphql(server.url, server.token, startDocument, { input })).data.startRun
/** Ignores SIGTERM from the moment that this answers. */
async function startIgnorer(graceMs: number): Promise<string> {
  const command = ['sh', '-c', 'trap "" TERM; echo deaf; sleep 1000']
  const { run: started } = await start({ command, policy: { graceMs } })
  const output = 'query ($id: ID!) { runOutput(id: $id) { text } }'
  await waitUntil(
    async () => (await graphql(server.url, server.token, output, { id: started.id })).data.runOutput?.text === 'deaf\n',
    'the run to ignore SIGTERM',
  )
  return started.id
}

const kill = async (input: object) => (await graphql(server.url, server.token, killDocument, { input })).data.killRun
const run = async (id: string) => (await graphql(server.url, server.token, runDocument, { id })).data.run

async function auditOf(runId?: string) {
  const { data } = await graphql(
    server.url,
    server.token,
    'query ($runId: ID) { audit(runId: $runId) { edges { node { action target decision why outcome } } } }',
    { runId },
  )
  return data.audit.edges.map(({ node }: { node: object }) => node)
}

it('[R9] [R20] kill_non_existent_workflow: an unknown run and what is no run id are told apart from nothing, and recorded', async () => {
  for (const runId of ['run_000000000000', 'no-run-at-all', '']) {
    expect(await kill({ runId })).toMatchObject({
      __typename: 'RunNotFound',
      message: expect.stringContaining('ls --all'),
    })
  }
  expect(await auditOf('run_000000000000')).toContainEqual(
    expect.objectContaining({ action: 'killRun', outcome: 'RunNotFound' }),
  )
  expect(await auditOf()).toContainEqual(
    expect.objectContaining({ action: 'killRun', target: 'no-run-at-all', outcome: 'RunNotFound' }),
  )
})

it('[R9] [R20] kill_already_completed_workflow: its own outcome stands', async () => {
  const { run: started } = await start({ command: ['true'] })
  await waitUntil(async () => (await run(started.id)).cleanup.status === 'DONE', 'the run to end by itself')
  expect(await kill({ runId: started.id, force: true })).toMatchObject({
    __typename: 'AlreadyEnded',
    run: { status: 'COMPLETED' },
  })
  expect((await run(started.id)).status).toBe('COMPLETED')
  expect(await auditOf(started.id)).toContainEqual(expect.objectContaining({ outcome: 'AlreadyEnded' }))
})

it('[R10] a second kill joins the first; a stronger one does not wait for its grace', async () => {
  const id = await startIgnorer(600_000)
  expect(await kill({ runId: id, waitFor: 'ACCEPTED' })).toMatchObject({ joined: false, success: false })
  expect(await kill({ runId: id, waitFor: 'ACCEPTED' })).toMatchObject({ joined: true, success: false })
  expect(await kill({ runId: id, force: true })).toMatchObject({
    success: true,
    joined: false,
    run: { status: 'KILLED' },
  })
})

it('[R4] an expired wait is no failure: the answer says what goes on', async () => {
  const id = await startIgnorer(600_000)
  const answer = await kill({ runId: id, timeoutMs: 50 })
  expect(answer).toMatchObject({
    __typename: 'KillRunAnswer',
    success: false,
    message: expect.stringContaining('goes on'),
  })
  expect(await kill({ runId: id, force: true })).toMatchObject({ success: true })
})

it('[R10] a kill during the start ends the run, whether a process was there already or not', async () => {
  const killed = await Promise.all(
    Array.from({ length: 10 }, async () => {
      const { run: started } = await start({ command: ['sleep', '1000'] })
      return { id: started.id as string, answer: await kill({ runId: started.id, force: true }) }
    }),
  )
  for (const { id, answer } of killed) {
    expect(answer).toMatchObject({ success: true, run: { status: 'KILLED', receipt: { proven: true } } })
    expect(markedProcesses(id)).toEqual([])
  }
})

it('refuses what can be no command line, with the place and the way out', async () => {
  const tooMany = Array.from({ length: 5000 }, () => 'x')
  const cases = [
    { input: { command: [] }, path: 'command', says: /empty/ },
    { input: { command: [''] }, path: 'command', says: /empty/ },
    { input: { command: ['echo', 'a\0b'] }, path: 'command.1', says: /NUL/ },
    { input: { command: ['echo', 'x'.repeat(131_072)] }, path: 'command.1', says: /file/ },
    { input: { command: tooMany }, path: 'command', says: /4,096/ },
    { input: { command: ['ls'], env: [{ name: 'RUNWARDEN_RUN_ID', value: 'x' }] }, path: /^env/, says: /reserved/ },
    { input: { command: ['ls'], env: [{ name: '1A', value: 'x' }] }, path: /^env/, says: /variable name/ },
    {
      input: { command: ['ls'], workspace: { kind: 'EXISTING', path: 'here' } },
      path: 'workspace.path',
      says: /absolute/,
    },
    { input: { command: ['ls'], workflow: '../../etc' }, path: 'workflow', says: /workflow name/ },
    { input: { command: ['ls'], policy: { graceMs: -1 } }, path: 'policy.graceMs', says: /./ },
  ]
  for (const { input, path, says } of cases) {
    const answer = await start(input)
    expect(answer.__typename, JSON.stringify(input).slice(0, 200)).toBe('InvalidInput')
    const issue = answer.issues.find((found: { path: string }) =>
      typeof path === 'string' ? found.path === path : path.test(found.path),
    )
    expect(issue, JSON.stringify(answer.issues)).toBeDefined()
    expect(issue.message).toMatch(says)
  }
})

it('fails a run that cannot be launched, and says why', async () => {
  const file = join(directory.path, 'admin.token')
  const cases = [
    { input: { command: ['no-such-program'] }, code: 'EXECUTABLE_NOT_FOUND', says: 'no-such-program' },
    {
      input: { command: ['ls'], workspace: { kind: 'EXISTING', path: '/no/such/folder' } },
      code: 'WORKSPACE_MISSING',
      says: '/no/such/folder',
    },
    {
      input: { command: ['ls'], workspace: { kind: 'EXISTING', path: file } },
      code: 'WORKSPACE_NOT_A_DIRECTORY',
      says: file,
    },
    { input: { command: ['ls'], runAs: 'nobody-at-all' }, code: 'ACCOUNT_UNKNOWN', says: 'nobody-at-all' },
    { input: { command: ['ls'], secretEnv: ['NOT_SET_HERE'] }, code: 'SECRET_MISSING', says: 'NOT_SET_HERE' },
  ]
  for (const { input, code, says } of cases) {
    const answer = await start(input)
    const ended = await waitUntil(async () => {
      const now = await run(answer.run.id)
      return now.status === 'FAILED' && now
    }, `${code} to be told`)
    expect(ended.failure).toMatchObject({ reason: 'LAUNCH_FAILED', code })
    expect(ended.failure.message).toContain(says)
  }
})

it.skipIf(process.getuid?.() !== 0)('fails a run whose account cannot enter its workspace', async () => {
  const workspace = join(directory.path, 'of-root')
  mkdirSync(workspace, { mode: 0o700 })
  chmodSync(workspace, 0o700)
  const { run: started } = await start({
    command: ['ls'],
    runAs: 'nobody',
    workspace: { kind: 'EXISTING', path: workspace },
  })
  const ended = await waitUntil(async () => {
    const now = await run(started.id)
    return now.status === 'FAILED' && now
  }, 'the failure')
  expect(ended.failure).toMatchObject({ code: 'WORKSPACE_UNREADABLE' })
})

it('[R9] [R20] kill_without_permissions: without a valid token nothing is done, and the attempt is recorded', async () => {
  const { run: started } = await start({ command: ['sleep', '1000'] })
  for (const token of [undefined, 'rw_wrong']) {
    const answer = await graphql(server.url, token, killDocument, { input: { runId: started.id } })
    expect(answer.status).toBe(401)
    expect(answer.data).toBeUndefined()
  }
  expect((await run(started.id)).status).not.toBe('KILLING')
  await waitUntil(
    async () =>
      (await auditOf()).some(
        (entry: { action: string; decision: string }) => entry.action === 'authenticate' && entry.decision === 'DENIED',
      ),
    'the refusal to be recorded',
  )
  expect(await kill({ runId: started.id, force: true })).toMatchObject({ success: true })
})

it('answers malformed requests with a reason and goes on', async () => {
  const malformed = await graphql(server.url, server.token, '{ run(id: ')
  expect(malformed.errors?.[0]?.message).toMatch(/Syntax Error/)
  const wrongType = await graphql(server.url, server.token, killDocument, { input: { runId: 5, force: 'yes' } })
  expect(wrongType.errors?.[0]?.message).toMatch(/force/)
  const body = await fetch(`${server.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${server.token}` },
    body: '{"query": ',
  })
  expect(body.status).toBe(400)
  expect((await fetch(`${server.url}/readyz`)).status).toBe(200)
})

it('[R10] while the store is away new kills are refused, what was accepted is finished, and nothing is lost', async () => {
  const dying = { id: await startIgnorer(1_000) }
  const { run: other } = await start({ command: ['sleep', '1000'] })
  await kill({ runId: dying.id, waitFor: 'ACCEPTED' })
  await waitUntil(() => markedProcesses(dying.id).length > 0, 'the run to live')
  await closeDatabase(database)

  const refused = await kill({ runId: other.id })
  expect(refused).toMatchObject({ __typename: 'StoreUnavailable', message: expect.stringContaining('readyz') })
  const readiness = await fetch(`${server.url}/readyz`)
  expect(readiness.status).toBe(503)
  await waitUntil(() => markedProcesses(dying.id).length === 0, 'the accepted kill to be finished without the store')
  expect(markedProcesses(other.id).length).toBeGreaterThan(0)

  await openDatabase(database)
  await waitUntil(async () => (await fetch(`${server.url}/readyz`)).ok, 'the server to be ready again', 20_000)
  await waitUntil(async () => (await run(dying.id)).status === 'KILLED', 'the facts to be appended')
  expect(await kill({ runId: other.id, force: true })).toMatchObject({ success: true })
  await waitUntil(
    async () =>
      (await auditOf(other.id)).some(
        (entry: { decision: string; why: string }) =>
          entry.decision === 'DENIED' && /STORE_UNAVAILABLE/.test(entry.why),
      ),
    'the refused attempt to be recorded',
  )
}, 60_000)

it('refuses a port in use, a data directory in use, one of another store, and one of a newer version', async () => {
  const other = makeServerDirectory()
  const second = await createTestDatabase()
  try {
    const port = new URL(server.url).port
    const env = { DATABASE_URL: databaseUrlOf(second) }
    expect(await refusal({ dataDirectory: other.path, env: { ...env, RUNWARDEN_PORT: port } })).toMatchObject({
      code: 5,
      output: expect.stringMatching(/Port \d+ .* in use.*RUNWARDEN_PORT/s),
    })
    expect(await refusal({ dataDirectory: directory.path, env })).toMatchObject({
      code: 5,
      output: expect.stringContaining('runwarden down'),
    })
    // The first start above has bound the directory to the second database.
    expect(await refusal({ dataDirectory: other.path, env: { DATABASE_URL: databaseUrlOf(database) } })).toMatchObject({
      code: 5,
      output: expect.stringMatching(/belongs to the event store .* RUNWARDEN_DATA_DIR/s),
    })
    await execute(second.connection, "insert into event_store.migrations (id, name) values (9999, 'future')")
    expect(await refusal({ dataDirectory: other.path, env })).toMatchObject({
      code: 5,
      output: expect.stringContaining('newer Runwarden'),
    })
  } finally {
    await other.remove()
    await second.drop()
  }
}, 60_000)

it('starts while the store is away, says so, and is ready as soon as it is there', async () => {
  const other = makeServerDirectory()
  const second = await createTestDatabase()
  await closeDatabase(second)
  const waiting = await startTestServer({
    dataDirectory: other.path,
    env: { DATABASE_URL: databaseUrlOf(second) },
    until: 'live',
  })
  try {
    const answer = await fetch(`${waiting.url}/readyz`)
    expect(answer.status).toBe(503)
    expect(await answer.text()).toMatch(/not currently accepting connections/)
    await openDatabase(second)
    await waitUntil(async () => (await fetch(`${waiting.url}/readyz`)).ok, 'the server to be ready', 20_000)
  } finally {
    await waiting.stop()
    await other.remove()
    await second.drop()
  }
}, 60_000)

async function refusal(options: Parameters<typeof spawnServer>[0]): Promise<{ code: number; output: string }> {
  const { child, output } = spawnServer(options)
  const [code] = await once(child, 'close')
  return { code, output: output() }
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

/** Lets nobody in, and shows those who are in the door: what a stopped server looks like to its clients. */
async function closeDatabase({ connection }: TestDatabase): Promise<void> {
  const name = connection.database
  await execute(inject('postgres'), `alter database ${name} allow_connections false`)
  await execute(inject('postgres'), `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`)
}

const openDatabase = ({ connection }: TestDatabase) =>
  execute(inject('postgres'), `alter database ${connection.database} allow_connections true`)
