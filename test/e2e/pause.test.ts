import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
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

/** The whole way: the command line, a real server that is killed in between, a real store, real processes. */
const directory = makeServerDirectory()
let database: TestDatabase
let server: TestServer
const start = () =>
  startTestServer({
    dataDirectory: directory.path,
    env: { DATABASE_URL: databaseUrlOf(database), RUNWARDEN_CHECK_INTERVAL_MS: '200' },
  })
beforeAll(async () => {
  database = await createTestDatabase()
  server = await start()
})
afterAll(async () => {
  await server?.stop()
  await directory.remove()
  await database?.drop()
})

const { cli, ok, json } = cliOf(() => server)
const show = (id: string): Promise<RunDetails> => json('show', id)
const stuckSoon = ['--warn-after', '1s', '--slow-after', '1s', '--stuck-after', '2s', '--total-timeout', '2s']
const beating = 'trap "exit 7" TERM; while :; do echo beat; sleep 0.05; done'
const beatsOf = (id: string) => {
  const path = join(directory.path, 'host/runs', id, 'output.log')
  return existsSync(path) ? readFileSync(path, 'utf8').length : 0
}
async function startBeating(...options: string[]): Promise<string> {
  const id = await ok('run', '--temporary', '--workflow', 'PAUSED', ...options, '--', 'sh', '-c', beating)
  await waitUntil(() => beatsOf(id) > 0, `${id} to beat`)
  return id
}
const status = (id: string) => show(id).then((run) => run.status)

it('[R40] pause, look, resume: everybody who looks sees it, and the record says who', async () => {
  const id = await startBeating()
  expect(await ok('pause', id, '--reason', 'a look at its files')).toBe(`${id}  PAUSED`)
  const beats = beatsOf(id)
  expect(await ok('ls')).toMatch(new RegExp(`${id}.*PAUSED`))
  expect(await ok('show', id)).toMatch(/pause +for .*, by token admin: a look at its files/)
  expect(await json('pause', id)).toMatchObject({ success: true, joined: true })
  const client = new pg.Client(database.connection)
  await client.connect()
  const { rows } = await client.query('SELECT status, pid FROM workflow_processes WHERE run_id = $1', [id])
  await client.end()
  expect(rows).toEqual([{ status: 'PAUSED', pid: expect.any(Number) }])
  expect(beatsOf(id)).toBe(beats)
  expect(await ok('resume', id)).toBe(`${id}  RUNNING`)
  await waitUntil(() => beatsOf(id) > beats, `${id} to go on`)
  expect(await ok('timeline', id)).toMatch(
    /pause requested by .*: a look at its files[\s\S]*paused: .* stopped[\s\S]*resumed[\s\S]*\npaused +20/,
  )
  const audit = await ok('audit', id)
  expect(audit).toMatch(/resumeRun .*ACCEPTED[\s\S]*pauseRun .*JOINED[\s\S]*pauseRun .*ACCEPTED +a look/)
  await ok('kill', id)
  const { code, stderr } = await cli('pause', id)
  expect({ code, stderr }).toEqual({ code: 5, stderr: expect.stringMatching(/ended as KILLED .*nothing to pause/) })
  expect((await cli('resume', 'run_ffffffffffff')).code).toBe(3)
}, 60_000)

it('[R16] [R17] paused time is no age: nothing is killed and nobody is alerted meanwhile, but soon afterwards', async () => {
  const id = await startBeating(...stuckSoon, '--on-stuck', 'kill')
  await ok('pause', id)
  const ageAtPause = async () => Number((await show(id)).verdict.evidence.find(({ fact }) => fact === 'clockMs')?.value)
  const before = await ageAtPause()
  const pausedFor = async () => (await show(id)).pausedMs
  await waitUntil(async () => (await pausedFor()) > 3_000, 'a pause longer than every limit', 15_000)
  expect(await ageAtPause()).toBe(before)
  expect(await show(id)).toMatchObject({ status: 'PAUSED', kill: null })
  expect((await show(id)).verdict.explanation).toMatch(/Paused: its clock stands still/)
  expect(await ok('alerts', '--all', '--json')).not.toContain(id)
  await ok('resume', id)
  await waitUntil(async () => (await status(id)) === 'KILLED', 'the kill of what is stuck now', 15_000)
  expect((await show(id)).kill).toMatchObject({ requestedBy: { kind: 'MONITOR' } })
}, 60_000)

it('[R14] a paused run outlives kill -9 of its server, is adopted as it is, resumed, and killed', async () => {
  const [resumed, killed] = [await startBeating(), await startBeating()]
  for (const id of [resumed, killed]) await ok('pause', id)
  const beats = [beatsOf(resumed), beatsOf(killed)]
  await server.crash()
  server = await start()
  await waitUntil(async () => (await ok('events', killed)).includes('RunAdopted'), 'the adoption')
  expect(await Promise.all([status(resumed), status(killed)])).toEqual(['PAUSED', 'PAUSED'])
  expect([beatsOf(resumed), beatsOf(killed)]).toEqual(beats)
  const answer = await json('kill', killed)
  expect(answer).toMatchObject({ success: true, run: { status: 'KILLED', rootExit: { status: 7 } } })
  await ok('resume', resumed)
  await waitUntil(() => beatsOf(resumed) > (beats[0] ?? 0), 'the other one to go on')
  await ok('kill', resumed, '--force')
  expect([resumed, killed].flatMap(markedProcesses)).toEqual([])
}, 60_000)

it('[R38] the mutations answer with typed failures', async () => {
  const deaf = 'trap "" TERM; echo beat; while :; do sleep 0.1; done'
  const id = await ok('run', '--temporary', '--', 'sh', '-c', deaf)
  await waitUntil(() => beatsOf(id) > 0, `${id} to be deaf`)
  const ask = async (mutation: string, type: string, input: object) => {
    const document = `mutation ($input: ${type}!) { ${mutation}(input: $input) {
      __typename
      ... on Problem { message }
      ... on InvalidTransition { runId status }
      ... on PauseRunAnswer { success joined run { status pause { paused stoppedAt wentOnAt requestedBy { id } } pausedMs } }
    } }`
    const { data, errors } = await graphql(server.url, server.token, document, { input })
    expect(errors).toBeUndefined()
    return data[mutation]
  }
  expect(await ask('pauseRun', 'PauseRunInput', { runId: id })).toMatchObject({
    success: true,
    joined: false,
    run: {
      status: 'PAUSED',
      pause: { paused: true, stoppedAt: expect.any(String), wentOnAt: null, requestedBy: { id: 'admin' } },
    },
  })
  await ok('kill', id, '--wait', 'accepted')
  expect(await ask('resumeRun', 'ResumeRunInput', { runId: id })).toMatchObject({
    __typename: 'InvalidTransition',
    status: 'KILLING',
    message: expect.stringMatching(/cannot be resumed any more: it is being killed/),
  })
  expect((await ask('pauseRun', 'PauseRunInput', { runId: 'run_ffffffffffff' })).__typename).toBe('RunNotFound')
  expect((await ask('pauseRun', 'PauseRunInput', { runId: id, timeoutMs: -1 })).__typename).toBe('InvalidInput')
  await ok('kill', id, '--force')
  expect((await ask('pauseRun', 'PauseRunInput', { runId: id })).__typename).toBe('AlreadyEnded')
}, 60_000)
