import { afterAll, beforeAll, expect, it } from 'vitest'
import type { RunDetails } from '../../src/cli/answers.ts'
import { cli as runCli } from '../support/cli.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { graphql } from '../support/graphql-client.ts'
import { databaseUrlOf, makeServerDirectory, startTestServer, type TestServer } from '../support/server.ts'
import { waitUntil } from '../support/wait-until.ts'

const directory = makeServerDirectory()
let database: TestDatabase
let server: TestServer
beforeAll(async () => {
  database = await createTestDatabase()
  const env = { DATABASE_URL: databaseUrlOf(database), RUNWARDEN_CGROUPS: 'off', RUNWARDEN_CHECK_INTERVAL_MS: '100' }
  server = await startTestServer({ dataDirectory: directory.path, env })
})
afterAll(async () => {
  await server?.stop()
  await directory.remove()
  await database?.drop()
})

const cli = (...argv: string[]) => runCli(argv, { env: { RUNWARDEN_URL: server.url, RUNWARDEN_TOKEN: server.token } })
async function ok(...argv: string[]): Promise<string> {
  const { code, stdout, stderr } = await cli(...argv)
  expect({ code, stderr: code === 0 ? '' : stderr }, argv.join(' ')).toEqual({ code: 0, stderr: '' })
  return stdout.trim()
}
const show = async (id: string): Promise<RunDetails> => JSON.parse(await ok('show', id, '--json'))
const ended = (id: string) =>
  waitUntil(async () => {
    const run = await show(id)
    return run.endedAt === null ? undefined : run
  }, `the end of ${id}`)

it('[R10] [R40] limits from the command line: kept to where they can be, and told where not', async () => {
  const hog = 'head -c 400000000 /dev/zero | tail -c 300000000 | wc -c'
  const limits = ['--limit-memory', '200MiB', '--limit-cpu', '50']
  const id = await ok('run', '--temporary', ...limits, '--', 'sh', '-c', hog)
  const run = await ended(id)
  expect(run.limits).toMatchObject([
    { limit: 'MEMORY', requested: 200 * 2 ** 20, enforcedBy: 'RLIMIT' },
    { limit: 'CPU', requested: 50, enforcedBy: 'NONE' },
  ])
  expect(await ok('logs', id)).toMatch(/memory exhausted\n0$/)
  const text = await ok('show', id)
  expect(text).toMatch(/limits +memory 200 MiB \(rlimit\), CPU 50 % \(NOT ENFORCED\)/)
  expect(text).toMatch(/notice +LIMIT_NOT_ENFORCED: cpu: /)
  expect(text).toMatch(/usage +.*at most \d+ process/)
  const refused = await cli('run', '--temporary', ...limits, '--require-limits', '--', 'true')
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('this host cannot enforce cpu') })
  expect(await ended(refused.stdout.trim())).toMatchObject({ status: 'FAILED', failure: { code: 'LIMIT_UNAVAILABLE' } })
  expect((await cli('run', '--limit-memory', '2', '--', 'true')).code).toBe(2)
  expect((await cli('run', '--limit-memory', '2MiB', '--', 'true')).stderr).toMatch(
    /limits.memoryBytes is less than 16 MiB/,
  )
  expect(await ok('hosts', '--json')).toMatch(/"limits"/)
}, 60_000)

it("[R2] a workflow's limits hold for its runs; a request's own win, each by itself; a restart keeps them", async () => {
  await ok(
    'workflow',
    'define',
    'BOUNDED',
    '--limit-files',
    '40',
    '--limit-memory',
    '300MiB',
    '--',
    'sh',
    '-c',
    'ulimit -n',
  )
  expect(await ok('workflow', 'show', 'BOUNDED')).toMatch(/limits +memory 300 MiB, 40 open files/)
  const id = await ok('run', '--workflow', 'BOUNDED', '--limit-files', '50')
  expect((await ended(id)).limits).toMatchObject([
    { limit: 'MEMORY', requested: 300 * 2 ** 20 },
    { limit: 'OPEN_FILES', requested: 50 },
  ])
  expect(await ok('logs', id)).toBe('50')
  const again = await ok('restart', id)
  await ended(again)
  expect(await ok('logs', again)).toBe('50')
}, 60_000)

it('[R38] limits in GraphQL; what is no limit is refused with its place', async () => {
  const start = async (limits: object) => {
    const document = `mutation ($input: StartRunInput!) { startRun(input: $input) {
      __typename
      ... on InvalidInput { issues { path message } }
      ... on StartRunAnswer { run { id limits { limit requested enforcedBy } } }
    } }`
    const input = { command: ['true'], limits }
    const { data, errors } = await graphql(server.url, server.token, document, { input })
    expect(errors).toBeUndefined()
    return data.startRun
  }
  const { run } = await start({ openFiles: 64, pids: null, required: true })
  expect(run.limits).toMatchObject([{ limit: 'OPEN_FILES', requested: 64 }])
  expect((await ended(run.id)).limits).toMatchObject([{ enforcedBy: 'RLIMIT' }])
  expect(await start({ pids: 0 })).toEqual({
    __typename: 'InvalidInput',
    issues: [{ path: 'limits.pids', message: 'is less than 2' }],
  })
}, 60_000)
