import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { graphql } from '../support/graphql-client.ts'
import { makeServerDirectory, markedProcesses, startTestServer, type TestServer } from '../support/server.ts'
import { waitUntil } from '../support/wait-until.ts'

// The default profile: embedded PostgreSQL, which a crashed server leaves running and the next one adopts.
const directory = makeServerDirectory()
let server: TestServer

const ask = async (document: string, variables: Record<string, unknown>) => {
  const answer = await graphql(server.url, server.token, document, variables)
  expect(answer.errors).toBeUndefined()
  return answer.data
}

const statusOf = async (id: string): Promise<string> =>
  (await ask('query ($id: ID!) { run(id: $id) { status } }', { id })).run.status

async function start(script: string): Promise<string> {
  const document = `mutation ($input: StartRunInput!) {
    startRun(input: $input) { ... on StartRunAnswer { run { id } } ... on Problem { message } }
  }`
  const { startRun } = await ask(document, { input: { command: ['sh', '-c', script] } })
  expect(startRun.run, startRun.message).toBeDefined()
  await waitUntil(async () => (await statusOf(startRun.run.id)) === 'RUNNING', 'the run to be started')
  return startRun.run.id
}

async function outputOf(id: string): Promise<string> {
  return (await ask('query ($id: ID!) { runOutput(id: $id) { text } }', { id })).runOutput.text
}

async function eventTypes(id: string): Promise<string[]> {
  const { runEvents } = await ask('query ($id: ID!) { runEvents(id: $id) { edges { node { type } } } }', { id })
  return runEvents.edges.map(({ node }: { node: { type: string } }) => node.type)
}

beforeAll(async () => {
  server = await startTestServer({ dataDirectory: directory.path })
})
afterAll(async () => {
  await server?.stop()
  await directory.remove()
})

it('[R14] runs outlive a kill -9 of the server: adopted, their output and exit status kept, and killable', async () => {
  const flag = (name: string) => join(directory.path, name)
  const goOnWhen = (name: string) => `while [ ! -e ${flag(name)} ]; do sleep 0.02; done`
  const endsLater = await start(`echo before; ${goOnWhen('away')}; echo while-away; ${goOnWhen('end')}; exit 7`)
  const endsWhileAway = await start(`${goOnWhen('away')}; echo last words; touch ${flag('ended')}; exit 3`)
  const killedLater = await start('trap "" TERM; setsid sleep 1000 & sleep 1001')
  await waitUntil(async () => (await outputOf(endsLater)) === 'before\n', 'the first output')

  await server.crash()
  writeFileSync(flag('away'), '')
  await waitUntil(() => existsSync(flag('ended')), 'the second run to go on without a server')
  expect(markedProcesses(killedLater).length).toBeGreaterThanOrEqual(3)
  server = await startTestServer({ dataDirectory: directory.path })

  await waitUntil(
    async () => (await statusOf(endsWhileAway)) === 'FAILED',
    'the run that ended meanwhile to be settled',
  )
  const ended = await ask('query ($id: ID!) { run(id: $id) { rootExit { status } } }', { id: endsWhileAway })
  expect(ended.run.rootExit.status).toBe(3)
  expect(await outputOf(endsWhileAway)).toBe('last words\n')

  expect(await statusOf(endsLater)).toBe('RUNNING')
  await waitUntil(async () => (await eventTypes(endsLater)).includes('RunAdopted'), 'the adoption to be recorded')
  await waitUntil(async () => (await outputOf(endsLater)) === 'before\nwhile-away\n', 'the output to go on')
  writeFileSync(flag('end'), '')
  await waitUntil(async () => (await statusOf(endsLater)) === 'FAILED', 'the adopted run to end')
  const later = await ask('query ($id: ID!) { run(id: $id) { rootExit { status } failure { message } } }', {
    id: endsLater,
  })
  expect(later.run.rootExit.status).toBe(7)

  const { killRun } = await ask(
    `mutation ($input: KillRunInput!) { killRun(input: $input) { ... on KillRunAnswer { success message } ... on Problem { message } } }`,
    { input: { runId: killedLater, force: true } },
  )
  expect(killRun, killRun.message).toMatchObject({ success: true })
  expect(markedProcesses(killedLater)).toEqual([])
  for (const id of [endsLater, endsWhileAway, killedLater]) {
    const types = await eventTypes(id)
    expect(types.filter((type) => type === 'RunStarted')).toHaveLength(1)
    expect(types.filter((type) => /^Run(Killed|Failed|Completed|Lost)$/.test(type))).toHaveLength(1)
  }
}, 60_000)

it('[R14] a kill that was under way when the server died is finished by the next one, without being asked again', async () => {
  const id = await start('trap "" TERM; sleep 1000')
  const document = `mutation ($input: KillRunInput!) { killRun(input: $input) { ... on KillRunAnswer { message } } }`
  await ask(document, { input: { runId: id, waitFor: 'ACCEPTED' } })
  await waitUntil(async () => (await eventTypes(id)).includes('SigtermSent'), 'the first signal')
  await server.crash()
  server = await startTestServer({ dataDirectory: directory.path })
  await waitUntil(async () => (await statusOf(id)) === 'KILLED', 'the kill to be finished')
  expect(markedProcesses(id)).toEqual([])
  const types = await eventTypes(id)
  expect(types.filter((type) => type === 'RunKilled')).toHaveLength(1)
}, 60_000)

it('[R14] SIGTERM stops the server in order, and leaves runs alive', async () => {
  const id = await start('sleep 1000')
  await server.stop()
  expect(server.output()).toContain('Runs that live go on')
  expect(markedProcesses(id).length).toBeGreaterThanOrEqual(1)
  server = await startTestServer({ dataDirectory: directory.path })
  const document = `mutation ($input: KillRunInput!) { killRun(input: $input) { ... on KillRunAnswer { success } } }`
  expect((await ask(document, { input: { runId: id } })).killRun.success).toBe(true)
}, 60_000)
