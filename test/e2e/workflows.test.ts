import { realpathSync } from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { RunDetails } from '../../src/cli/answers.ts'
import { cliOf } from '../support/cli.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { graphql } from '../support/graphql-client.ts'
import {
  databaseUrlOf,
  makeServerDirectory,
  markedProcesses,
  startTestServer,
  type TestServer,
} from '../support/server.ts'
import { waitUntil } from '../support/wait-until.ts'

/** The whole way: the command line, a real server, a real store, real processes. */
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

const { cli, ok, json } = cliOf(() => server)
const show = (id: string): Promise<RunDetails> => json('show', id)
const outputOf = (id: string) =>
  waitUntil(async () => {
    const run = await show(id)
    expect(run.failure).toBeNull()
    return run.endedAt !== null && (await ok('logs', id))
  }, `the output of ${id}`)

it('[R2] define, start by name, define anew, restart as recorded and as defined now: commands, versions and links', async () => {
  const sleeper = (seconds: string) => ['--', 'sleep', seconds]
  expect(await ok('workflow', 'define', 'BUILDER', '--label', 'v=1', ...sleeper('1001'))).toBe('BUILDER version 1')
  const recorded = await ok('run', '--workflow', 'BUILDER', '--label', 'pr=7')
  const current = await ok('run', '--workflow', 'BUILDER')
  expect(await ok('workflow', 'define', 'BUILDER', '--policy', 'strict', ...sleeper('1002'))).toBe('BUILDER version 2')
  await waitUntil(() => [recorded, current].every((id) => markedProcesses(id).length > 0), 'both runs to live')

  const same = await ok('restart', recorded)
  const newer = await ok('restart', current, '--definition', 'current', '--reason', 'the new prompt')
  await waitUntil(() => [same, newer].every((id) => markedProcesses(id).length > 0), 'their successors to live')
  expect([recorded, current].flatMap(markedProcesses)).toEqual([])
  expect(await show(recorded)).toMatchObject({ status: 'KILLED', workflowVersion: 1 })
  expect(await show(same)).toMatchObject({
    ...{ workflow: 'BUILDER', workflowVersion: 1, command: ['sleep', '1001'] },
    labels: [
      { name: 'pr', value: '7' },
      { name: 'v', value: '1' },
    ],
  })
  expect(await show(newer)).toMatchObject({
    ...{ workflow: 'BUILDER', workflowVersion: 2, command: ['sleep', '1002'], labels: [] },
  })
  const { data } = await graphql(
    server.url,
    server.token,
    'query ($id: ID!) { run(id: $id) { restartedAs { id restartOf { id } workflowVersion } restart { definition reason } } }',
    { id: current },
  )
  expect(data.run).toEqual({
    restartedAs: { id: newer, restartOf: { id: current }, workflowVersion: 2 },
    restart: { definition: 'CURRENT', reason: 'the new prompt' },
  })
  expect(await ok('show', newer)).toContain('version 2 of BUILDER')
  for (const id of [same, newer]) await ok('kill', id, '--force')
}, 60_000)

it('a run is as the definition says, and as its own options say over it', async () => {
  const script = 'echo "$A $B $RUNWARDEN_PROMPT $PWD"'
  const defined = ['--cwd', directory.path, '--env', 'A=1', '--env', 'B=1', '--prompt', 'build']
  await ok('workflow', 'define', 'ECHO', ...defined, '--', 'sh', '-c', script)
  const place = realpathSync(directory.path)
  expect(await outputOf(await ok('run', '--workflow', 'ECHO'))).toBe(`1 1 build ${place}`)
  expect(await outputOf(await ok('run', '--workflow', 'ECHO', '--env', 'B=2', '--prompt', 'test'))).toBe(
    `1 2 test ${place}`,
  )
  expect(await outputOf(await ok('run', '--workflow', 'ECHO', '--temporary'))).not.toMatch(new RegExp(`${place}$`))
  await ok('workflow', 'define', 'ECHO', '--', 'sh', '-c', 'echo new')
  expect(await outputOf(await ok('run', '--workflow', 'ECHO', '--workflow-version', '1'))).toBe(`1 1 build ${place}`)
  expect(await outputOf(await ok('run', '--workflow', 'ECHO'))).toBe('new')
}, 60_000)

it('[R40] workflows are listed and shown; the same again is told; what is unknown ends with 3 and a hint', async () => {
  const define = ['workflow', 'define', 'LINA', '--description', 'plans', '--secret-env', 'KEY', '--grace', '9s']
  await ok(...define, '--', 'agent', '--api-key', 'hush')
  const again = await cli(...define, '--', 'agent', '--api-key', 'hush')
  expect(again).toMatchObject({ code: 0, stdout: 'LINA version 1\n' })
  expect(again.stderr).toContain('in force already')
  await ok('workflow', 'define', 'LINA', '--', 'agent', '2')

  const old = await ok('workflow', 'show', 'LINA', '--version', '1')
  for (const text of ['(in force: version 2)', 'plans', 'agent --api-key [redacted]', 'KEY', 'grace 9.0 s', 'token']) {
    expect(old).toContain(text)
  }
  expect(old).not.toContain('hush')
  expect(await ok('workflow', 'show', 'LINA')).toContain('version 2 (in force)')
  expect(await json('workflow', 'show', 'LINA')).toMatchObject({ version: 2, command: ['agent', '2'] })
  expect(await ok('workflow', 'ls')).toMatch(/^LINA +2 +standard +.* ago +agent 2$/m)
  const listed = (await ok('workflow', 'ls', '--json')).split('\n').map((line) => JSON.parse(line).name)
  expect(listed).toEqual([...listed].sort())
  expect(await cli('workflow', 'ls', '--limit', '1')).toMatchObject({
    stderr: expect.stringContaining('There are more'),
  })

  expect(await cli('run', '--workflow', 'LIMA')).toEqual({
    code: 3,
    stdout: '',
    stderr:
      'runwarden: No workflow LIMA is defined. Did you mean LINA? Define it, or give a command to run under that name.\n',
  })
  expect(await cli('run', '--workflow', 'LINA', '--workflow-version', '9')).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('LINA has no version 9; its versions are 1 to 2.'),
  })
  expect(await cli('workflow', 'show', 'LIMA')).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('No workflow LIMA is defined.'),
  })
  const adhoc = await ok('run', '--temporary', '--', 'true')
  expect(await cli('restart', adhoc, '--definition', 'current')).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('Restart it as it was recorded, or define adhoc first.'),
  })
}, 60_000)

it('[R40] what cannot be a definition ends with 2 and says where it is wrong', async () => {
  const cases: [string[], string][] = [
    [['MY FLOW', '--', 'true'], 'name is no workflow name'],
    [['../etc', '--', 'true'], 'name is no workflow name'],
    [['A', '--', ''], 'command names an empty executable'],
    [['A', '--env', 'RUNWARDEN_X=1', '--', 'true'], 'env.RUNWARDEN_X starts with RUNWARDEN_'],
    [['A', '--env', '1A=1', '--', 'true'], 'env.1A is no variable name'],
    [['A', '--stuck-after', '0', '--', 'true'], 'policy.stuckAfterMs is shorter than 1 ms'],
    [['A', '--total-timeout', '30d', '--', 'true'], 'Int cannot represent'],
    [['A', '--total-timeout', '20d', '--', 'true'], 'policy.totalTimeoutMs is longer than 14 days'],
    [['A', '--run-as', 'Not An Account', '--', 'true'], 'runAs is no account name'],
  ]
  for (const [argv, says] of cases) {
    const { code, stdout, stderr } = await cli('workflow', 'define', ...argv)
    expect({ code, stdout }, stderr).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(says)
  }
  expect((await ok('workflow', 'ls')).split('\n').filter((line) => line.startsWith('A '))).toEqual([])
}, 60_000)
