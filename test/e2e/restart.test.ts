import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import {
  databaseUrlOf,
  makeServerDirectory,
  markedProcesses,
  startTestServer,
  type TestServer,
} from '../support/server.ts'
import { waitUntil } from '../support/wait-until.ts'

const directory = makeServerDirectory()
let database: TestDatabase
let server: TestServer
const start = () => startTestServer({ dataDirectory: directory.path, env: { DATABASE_URL: databaseUrlOf(database) } })

beforeAll(async () => {
  database = await createTestDatabase()
  server = await start()
})
afterAll(async () => {
  await server?.stop()
  await directory.remove()
  await database?.drop()
})

const ask = (document: string, variables: object) => server.ask(document, variables)

const startRun = async (input: object): Promise<string> => {
  const { startRun } = await ask(
    'mutation ($input: StartRunInput!) { startRun(input: $input) { ... on StartRunAnswer { run { id } } } }',
    { input },
  )
  return startRun.run.id
}
const restartRun = async (input: object) =>
  (
    await ask(
      `mutation ($input: RestartRunInput!) { restartRun(input: $input) {
        __typename
        ... on Problem { message }
        ... on RestartRunAnswer { newRunId joined waitExpired message run { status } newRun { id status command restartOf { id } } }
      } }`,
      { input },
    )
  ).restartRun
const complete = async (input: object) =>
  (
    await ask(
      `mutation ($input: ForceCompleteRunInput!) { forceCompleteRun(input: $input) {
        __typename
        ... on Problem { message }
        ... on ForceCompleteRunAnswer { success joined message run { status receipt { proven } failure { reason message } } }
      } }`,
      { input },
    )
  ).forceCompleteRun
const killRun = (runId: string) =>
  ask('mutation ($input: KillRunInput!) { killRun(input: $input) { ... on KillRunAnswer { success } } }', {
    input: { runId, force: true },
  })
const runDocument = `query ($id: ID!) { run(id: $id) { status workflow command restartedAs { id } restartOf { id } restart { reason } } }`
const runsDocument = `{ runs(filter: { workflow: "TWICE" }) { edges { node { id } } } }`

it('[R2] [R12] kills a live run, starts the same again in its place, and links the two', async () => {
  const old = await startRun({
    workflow: 'BUILDER',
    command: ['sleep', '1000'],
    labels: [{ name: 'team', value: 'a' }],
  })
  const answer = await restartRun({ runId: old, reason: 'stuck' })
  expect(answer, JSON.stringify(answer)).toMatchObject({
    __typename: 'RestartRunAnswer',
    joined: false,
    waitExpired: false,
    run: { status: 'KILLED' },
    newRun: { command: ['sleep', '1000'], restartOf: { id: old } },
  })
  expect(markedProcesses(old)).toEqual([])
  await waitUntil(() => markedProcesses(answer.newRunId).length > 0, 'the new run to live')
  const { run } = await ask(runDocument, { id: old })
  expect(run).toMatchObject({ restartedAs: { id: answer.newRunId }, restart: { reason: 'stuck' } })
  await killRun(answer.newRunId)
})

it('[R3] [R4] a kill that joins a decision says that it was killed, and as what it ended', async () => {
  const runId = await startRun({ command: ['sh', '-c', 'trap "" TERM; echo deaf; exec sleep 1000'] })
  await waitUntil(
    async () =>
      (await ask('query ($id: ID!) { run(id: $id) { lastOutput } }', { id: runId })).run.lastOutput === 'deaf',
    'the run to be deaf',
    20_000,
  )
  const [decided, { killRun: killed }] = await Promise.all([
    complete({ runId, outcome: 'COMPLETED' }),
    waitUntil(
      async () => (await ask('query ($id: ID!) { run(id: $id) { status } }', { id: runId })).run.status === 'KILLING',
      'the decision',
    ).then(() =>
      ask(
        'mutation ($input: KillRunInput!) { killRun(input: $input) { ... on KillRunAnswer { success killedAt message } } }',
        { input: { runId } },
      ),
    ),
  ])
  expect(decided).toMatchObject({ success: true, run: { status: 'COMPLETED' } })
  expect(killed).toMatchObject({ success: true, killedAt: expect.any(String) })
  expect(killed.message).toMatch(/^Killed, and ended as COMPLETED by a decision/)
})

it('[M8] no command for an old run touches the run that took its place', async () => {
  const old = await startRun({ workflow: 'GENERATIONS', command: ['sleep', '1000'] })
  const { newRunId } = await restartRun({ runId: old })
  await waitUntil(() => markedProcesses(newRunId).length > 0, 'the new run to live')
  const before = markedProcesses(newRunId)
  const kill = (input: object) =>
    ask(
      'mutation ($input: KillRunInput!) { killRun(input: $input) { __typename ... on AlreadyEnded { run { id status } } } }',
      {
        input: { runId: old, ...input },
      },
    )
  for (const kind of [{}, { force: true }, { emergency: true }]) {
    expect((await kill(kind)).killRun).toEqual({ __typename: 'AlreadyEnded', run: { id: old, status: 'KILLED' } })
  }
  for (const outcome of ['COMPLETED', 'FAILED']) {
    expect(await complete({ runId: old, outcome })).toMatchObject({ __typename: 'AlreadyEnded' })
  }
  expect(await restartRun({ runId: old })).toMatchObject({ newRunId, joined: true })
  for (const other of [{ definition: 'CURRENT' }, { prompt: 'something else' }])
    expect(await restartRun({ runId: old, ...other })).toMatchObject({
      ...{ __typename: 'InvalidTransition', message: expect.stringContaining(`Restart ${newRunId} instead`) },
    })
  expect(markedProcesses(newRunId)).toEqual(before)
  const { run } = await ask(
    'query ($id: ID!) { run(id: $id) { status killPhase restart { newRunId } events { edges { node { type } } } } }',
    { id: newRunId },
  )
  expect(run).toMatchObject({ status: 'RUNNING', killPhase: 'NONE', restart: null })
  expect(run.events.edges.map(({ node }: { node: { type: string } }) => node.type)).toEqual([
    'RunRequested',
    'RunStarted',
  ])
  await killRun(newRunId)
})

it('[R2] rapid repeated requests make one new run', async () => {
  const old = await startRun({
    workflow: 'TWICE',
    command: ['sh', '-c', 'trap "" TERM; sleep 1000'],
    policy: { graceMs: 200 },
  })
  const answers = await Promise.all(Array.from({ length: 20 }, () => restartRun({ runId: old })))
  expect(new Set(answers.map(({ newRunId }) => newRunId)).size).toBe(1)
  expect(answers.filter(({ joined }) => !joined)).toHaveLength(1)
  const { runs } = await ask(runsDocument, {})
  expect(runs.edges).toHaveLength(2)
  await killRun(answers[0].newRunId)
})

it('[R2] a run that had ended is started again, with another prompt', async () => {
  const old = await startRun({ command: ['sh', '-c', 'echo "$RUNWARDEN_PROMPT"'], prompt: 'one' })
  await waitUntil(async () => (await ask(runDocument, { id: old })).run.status === 'COMPLETED', 'the end of the run')
  const { newRunId } = await restartRun({ runId: old, prompt: 'two' })
  await waitUntil(
    async () =>
      (await ask('query ($id: ID!) { runOutput(id: $id) { text } }', { id: newRunId })).runOutput?.text === 'two\n',
    'the new prompt to be used',
  )
})

it('[R2] [R12] a registered process is restarted by its command line, under supervision', async () => {
  const foreign = spawn('sleep', ['1004'], { stdio: 'ignore', cwd: directory.path, detached: true })
  try {
    const { registerProcess } = await ask(
      'mutation ($input: RegisterProcessInput!) { registerProcess(input: $input) { ... on RegisterProcessAnswer { run { id } } ... on Problem { message } } }',
      { input: { pid: foreign.pid, workflow: 'BRAIN' } },
    )
    const ended = once(foreign, 'exit')
    const answer = await restartRun({ runId: registerProcess.run.id })
    await ended
    expect(answer, JSON.stringify(answer)).toMatchObject({ waitExpired: false, newRun: { command: ['sleep', '1004'] } })
    await killRun(answer.newRunId)
  } finally {
    foreign.kill('SIGKILL')
  }
})

it('[R3] ends a run by decision, on the receipt only; what has ended stays as it ended', async () => {
  for (const outcome of ['COMPLETED', 'FAILED']) {
    const id = await startRun({ command: ['sh', '-c', 'trap "" TERM; sleep 1000'], policy: { graceMs: 200 } })
    await waitUntil(() => markedProcesses(id).length > 0, 'the run to live')
    const answer = await complete({ runId: id, outcome, reason: 'it is merged' })
    expect(answer).toMatchObject({ success: true, joined: false, run: { status: outcome, receipt: { proven: true } } })
    expect(markedProcesses(id)).toEqual([])
    expect(await complete({ runId: id, outcome })).toMatchObject({ __typename: 'AlreadyEnded' })
  }
  expect(await complete({ runId: 'run_000000000000' })).toMatchObject({ __typename: 'RunNotFound' })
  expect(await restartRun({ runId: 'run_000000000000' })).toMatchObject({ __typename: 'RunNotFound' })
})

it('[R2] [R3] [R14] what was asked for is finished by the next server when this one dies at once', async () => {
  const input = { command: ['sh', '-c', 'trap "" TERM; sleep 1000'], policy: { graceMs: 500 } }
  const [restarted, completed] = [await startRun(input), await startRun(input)]
  await waitUntil(() => [restarted, completed].every((id) => markedProcesses(id).length > 0), 'both to live')
  await Promise.all([
    restartRun({ runId: restarted, timeoutMs: 0 }),
    complete({ runId: completed, outcome: 'COMPLETED', timeoutMs: 0 }),
  ])
  await server.crash()
  server = await start()
  await waitUntil(async () => (await ask(runDocument, { id: completed })).run.status === 'COMPLETED', 'the decision')
  const newId: string = await waitUntil(
    async () => (await ask(runDocument, { id: restarted })).run.restartedAs?.id,
    'the restart to be finished',
  )
  await waitUntil(() => markedProcesses(newId).length > 0, 'the new run to live')
  expect(markedProcesses(restarted)).toEqual([])
  await killRun(newId)
}, 60_000)
