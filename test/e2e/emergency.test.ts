import { execFile } from 'node:child_process'
import { appendFileSync, chmodSync, chownSync, lstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ProcessIdentity } from '../../src/domain/process-identity.ts'
import { exists, isAlive, readIdentity, readStat } from '../../src/os/process-identity.ts'
import { whoServes } from '../../src/postgres/postmaster.ts'
import { killThoseOf } from '../support/host-world.ts'
import { startProgram } from '../support/program.ts'
import { makeServerDirectory, markedProcesses, startTestServer, type TestServer } from '../support/server.ts'
import { makeTemporaryDirectory } from '../support/temporary-directory.ts'
import { waitUntil } from '../support/wait-until.ts'

// The default profile: the database that goes away is the embedded one.
const directory = makeServerDirectory()
const cluster = join(directory.path, 'postgres/cluster')
let server: TestServer

beforeAll(async () => {
  server = await startTestServer({ dataDirectory: directory.path })
})
afterAll(async () => {
  await server?.stop()
  await directory.remove()
})

const ask = (document: string, variables: object) => server.ask(document, variables)

/** A run that SIGTERM does not end, once all of it is there. */
async function startRun(policy: object = {}): Promise<string> {
  const command = ['sh', '-c', 'trap "" TERM; setsid sleep 1006 & sleep 1007']
  const { startRun } = await ask(
    'mutation ($input: StartRunInput!) { startRun(input: $input) { ... on StartRunAnswer { run { id } } } }',
    { input: { command, policy } },
  )
  await waitUntil(() => markedProcesses(startRun.run.id).length >= 3, 'the run to live')
  await waitUntil(async () => (await events(startRun.run.id)).length >= 2, 'its start to be recorded')
  return startRun.run.id
}

const killRun = async (input: object) =>
  (
    await ask(
      `mutation ($input: KillRunInput!) { killRun(input: $input) {
        __typename
        ... on Problem { message }
        ... on EmergencyKillAnswer { success killedAt cleanupStatus message joined waitExpired receipt { proven } }
      } }`,
      { input: { ...input } },
    )
  ).killRun

type Event = { type: string; occurredAt: string; recordedAt: string; actor: { kind: string; id: string } }
async function events(id: string): Promise<Event[]> {
  const { runEvents } = await ask(
    'query ($id: ID!) { runEvents(id: $id) { edges { node { type occurredAt recordedAt actor { kind id } } } } }',
    { id },
  )
  return runEvents.edges.map(({ node }: { node: Event }) => node)
}

/** Of its kills, newest first: what was decided, and what came of it. */
async function expectAudit(id: string, expected: [decision: string, outcome: string | null][]): Promise<void> {
  const document = 'query ($id: ID!) { audit(runId: $id) { edges { node { action decision outcome } } } }'
  let seen: unknown
  await waitUntil(
    async () => {
      const nodes: { action: string; decision: string; outcome: string | null }[] = (
        await ask(document, { id })
      ).audit.edges.map(({ node }: { node: object }) => node)
      seen = nodes.flatMap(({ action, ...rest }) => (action === 'killRun' ? [[rest.decision, rest.outcome]] : []))
      return JSON.stringify(seen) === JSON.stringify(expected)
    },
    `the audit of ${id}`,
    15_000,
    () => JSON.stringify(seen),
  )
}

const isReady = async () => (await fetch(`${server.url}/readyz`)).ok
const ready = () => waitUntil(isReady, 'the server to be ready', 30_000, server.output)

/** What the stream of a run must say that was killed while its store was away, once that is back. */
async function expectRecord(id: string, actor: Event['actor'], backAt: string, before: string[] = []): Promise<void> {
  const all = await waitUntil(async () => {
    const found = await events(id)
    return found.at(-1)?.type === 'RunCleaned' && found
  }, 'the record to follow')
  const lifecycle = all.filter(({ type }) => !['RunAdopted', 'TelemetrySummarised'].includes(type))
  expect(lifecycle.map(({ type }) => type)).toEqual([
    ...['RunRequested', 'RunStarted', ...before, 'KillRequested', 'SigkillSent', 'ProcessExited', 'RunKilled'],
    ...Array(4).fill('CleanupStepCompleted'),
    'RunCleaned',
  ])
  const killed = lifecycle.slice(2 + before.length)
  expect(killed[0]?.actor).toEqual(actor)
  for (const { type, occurredAt, recordedAt } of killed) {
    expect(occurredAt < backAt, `${type} at ${occurredAt}, and the store was back at ${backAt}`).toBe(true)
    expect(recordedAt >= backAt, `${type} was recorded at ${recordedAt}`).toBe(true)
  }
  const times = lifecycle.map(({ occurredAt }) => occurredAt)
  expect(times).toEqual([...times].sort())
}

const admin = { kind: 'TOKEN', id: 'admin' }

function postmaster(): ProcessIdentity {
  const serving = whoServes(cluster)
  if (serving.state !== 'running') throw new Error(`the postmaster is ${serving.state}`)
  return serving.identity
}

/** The postmaster and its children. */
function postgresProcesses(): ProcessIdentity[] {
  const top = postmaster()
  const children = readdirSync('/proc').flatMap((name) => {
    const stat = /^\d+$/.test(name) ? readStat(Number(name)) : undefined
    return stat?.ppid === top.pid ? (readIdentity(stat.pid) ?? []) : []
  })
  return [top, ...children]
}

function signalEach(identities: ProcessIdentity[], signal: NodeJS.Signals): void {
  for (const identity of identities) if (isAlive(identity)) process.kill(identity.pid, signal)
}

describe('[R4] [R14] [M1] an emergency kill while PostgreSQL is away', () => {
  it('that hangs: kills, proves it, and the record follows with the times at which it happened', async () => {
    const id = await startRun()
    const stopped = postgresProcesses()
    signalEach(stopped, 'SIGSTOP')
    try {
      const answer = await killRun({ runId: id, emergency: true, reason: 'it burns' })
      expect(answer, JSON.stringify(answer)).toMatchObject({
        ...{ __typename: 'EmergencyKillAnswer', success: true, cleanupStatus: 'DONE', joined: false },
        ...{ waitExpired: false, receipt: { proven: true }, message: expect.stringContaining('record of it follows') },
      })
      expect(markedProcesses(id)).toEqual([])
      const again = await killRun({ runId: id, emergency: true })
      expect(again).toMatchObject({ success: true, joined: true })
    } finally {
      signalEach(stopped, 'SIGCONT')
    }
    const backAt = new Date().toISOString()
    await ready()
    await expectRecord(id, admin, backAt)
    await expectAudit(id, [
      ['ALLOWED', 'AlreadyEnded'],
      ['ALLOWED', 'ACCEPTED'],
    ])
  }, 90_000)

  it('that was killed and cannot start: outdoes a graceful kill that the store has, and survives a kill -9', async () => {
    const [id, other] = [await startRun(), await startRun({ graceMs: 60_000 })]
    await ask('mutation ($input: KillRunInput!) { killRun(input: $input) { __typename } }', {
      input: { runId: other, waitFor: 'ACCEPTED' },
    })
    await waitUntil(async () => (await events(other)).at(-1)?.type === 'SigtermSent', 'its first signal')
    const config = join(cluster, 'postgresql.auto.conf')
    const before = readFileSync(config)
    appendFileSync(config, '\nno_such_setting = on\n')
    process.kill(postmaster().pid, 'SIGKILL')
    await waitUntil(async () => !(await isReady()), 'the store to be away', 30_000)
    const plain = await killRun({ runId: id, force: true })
    expect(plain).toMatchObject({ __typename: 'StoreUnavailable', message: expect.stringContaining('--emergency') })
    for (const runId of [id, other])
      expect(await killRun({ runId, emergency: true })).toMatchObject({ success: true, receipt: { proven: true } })
    expect([...markedProcesses(id), ...markedProcesses(other)]).toEqual([])

    await server.crash()
    writeFileSync(config, before)
    const backAt = new Date().toISOString()
    server = await startTestServer({ dataDirectory: directory.path })
    await expectRecord(id, admin, backAt)
    await waitUntil(async () => (await events(other)).at(-1)?.type === 'RunCleaned', 'the other record to follow')
    const types = (await events(other)).map(({ type }) => type).filter((type) => /Kill|Sig/.test(type))
    expect(types).toEqual(['KillRequested', 'SigtermSent', 'KillRequested', 'SigkillSent', 'RunKilled'])
    await expectAudit(id, [
      ['ALLOWED', 'ACCEPTED'],
      ['DENIED', null],
    ])
  }, 90_000)
})

it('[R14] [M1] a server that starts on a PostgreSQL that hangs serves without it, and kills', async () => {
  const id = await startRun()
  await server.crash()
  const stopped = postgresProcesses()
  signalEach(stopped, 'SIGSTOP')
  try {
    server = await startTestServer({ dataDirectory: directory.path, until: 'live' })
    expect(server.output()).toContain('NOT READY')
    expect((await fetch(`${server.url}/readyz`)).status).toBe(503)
    expect(await killRun({ runId: id, emergency: true })).toMatchObject({ success: true, receipt: { proven: true } })
    expect(markedProcesses(id)).toEqual([])
  } finally {
    signalEach(stopped, 'SIGCONT')
  }
  const backAt = new Date().toISOString()
  await ready()
  await expectRecord(id, admin, backAt, ['SamplingInterrupted'])
}, 90_000)

type CliEnd = { code: number; stdout: string; stderr: string }

/** The command line as a user has it. */
function cli(argv: string[], options: { dataDirectory?: string; uid?: number } = {}): Promise<CliEnd> {
  const { dataDirectory = directory.path, uid } = options
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, RUNWARDEN_DATA_DIR: dataDirectory }
  const bin = join(import.meta.dirname, '../../bin/runwarden.mjs')
  const account = uid === undefined ? {} : { uid, gid: uid }
  return new Promise((resolve) => {
    execFile(process.execPath, [bin, ...argv], { env, ...account }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    )
  })
}

describe('[R4] [R14] [R40] an emergency kill without a server', () => {
  it('kills from the data directory, with proof; the next server records it', async () => {
    const [id, other] = [await startRun(), await startRun()]
    await server.stop()
    const plain = await cli(['kill', id])
    expect(plain).toMatchObject({ code: 6, stderr: expect.stringContaining(`runwarden kill ${id} --emergency`) })
    expect(markedProcesses(id).length).toBeGreaterThanOrEqual(3)

    const killed = await cli(['kill', id, '--emergency', '--reason', 'it burns', '--json'])
    expect(killed.code, killed.stderr).toBe(0)
    expect(JSON.parse(killed.stdout)).toMatchObject({
      ...{ success: true, runId: id, cleanupStatus: 'DONE', joined: false, waitExpired: false },
      receipt: { json: { proven: true, runId: id } },
    })
    expect(killed.stderr).toContain('does not answer: to kill')
    expect(markedProcesses(id)).toEqual([])
    expect(markedProcesses(other).length).toBeGreaterThanOrEqual(3)

    const again = await cli(['kill', id, '--emergency'])
    expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining('PROVEN DEAD') })
    expect(await cli(['kill', 'run_ffffffffffff', '--emergency'])).toMatchObject({ code: 3, stdout: '' })

    const backAt = new Date().toISOString()
    server = await startTestServer({ dataDirectory: directory.path })
    await expectRecord(id, { kind: 'USER', id: userInfo().username }, backAt)
    expect((await events(other)).map(({ type }) => type)).not.toContain('KillRequested')
    await expectAudit(id, [
      ['ALLOWED', 'AlreadyEnded'],
      ['ALLOWED', 'ACCEPTED'],
    ])
    await cli(['kill', other, '--force'])
  }, 90_000)

  it('[R9] leaves nothing in a directory that is of no server', async () => {
    const empty = makeTemporaryDirectory()
    try {
      const refused = await cli(['kill', 'run_ffffffffffff', '--emergency'], { dataDirectory: empty.path })
      expect(refused).toMatchObject({ code: 3, stdout: '', stderr: expect.stringContaining('RUNWARDEN_DATA_DIR') })
      expect(readdirSync(empty.path)).toEqual([])
    } finally {
      empty.remove()
    }
  })

  it('[R10] asked for twice at once is one kill, and both hear of the proof', async () => {
    const id = await startRun()
    await server.stop()
    const both = await Promise.all([cli(['kill', id, '--emergency']), cli(['kill', id, '--emergency'])])
    for (const { code, stdout, stderr } of both) {
      expect(code, stderr).toBe(0)
      expect(stdout).toContain('PROVEN DEAD')
    }
    const backAt = new Date().toISOString()
    server = await startTestServer({ dataDirectory: directory.path })
    await waitUntil(async () => (await events(id)).at(-1)?.type === 'RunCleaned', 'the record to follow')
    const types = (await events(id)).map(({ type }) => type)
    for (const type of ['KillRequested', 'SigkillSent', 'RunKilled'])
      expect(
        types.filter((each) => each === type),
        `${type}, ${backAt}`,
      ).toHaveLength(1)
  }, 90_000)

  it('[R9] is refused where a server holds the directory and only does not answer, and says what to do', async () => {
    const id = await startRun()
    const alive = markedProcesses(id)
    process.kill(server.identity.pid, 'SIGSTOP')
    try {
      const refused = await cli(['kill', id, '--emergency', '--timeout', '1s'])
      expect(refused, refused.stdout).toMatchObject({ code: 6, stdout: '' })
      expect(refused.stderr).toContain(`pid ${server.identity.pid}`)
      expect(refused.stderr).toContain(`kill -9 ${server.identity.pid}`)
      expect(markedProcesses(id)).toEqual(alive)
    } finally {
      process.kill(server.identity.pid, 'SIGCONT')
    }
    await expectAudit(id, [['DENIED', null]])
    expect(await cli(['kill', id, '--force'])).toMatchObject({ code: 0 })
  }, 90_000)

  it.skipIf(process.getuid?.() !== 0)('[R20] is refused to everybody but the owner, and root', async () => {
    const id = 'run_0000000000aa'
    const refused = await cli(['kill', id, '--emergency'], { uid: 65_534 })
    expect(refused).toMatchObject({ code: 4, stdout: '' })
    expect(refused.stderr).toMatch(/account that started|owner/)
  })

  it.skipIf(process.getuid?.() !== 0)(
    'as root on the data of another account leaves that account its files',
    async () => {
      const nobody = 65_534
      const temporary = makeTemporaryDirectory()
      const data = temporary.path
      chownSync(data, nobody, nobody)
      chmodSync(data, 0o755)
      const runId = 'run_0000000000ab'
      const host = join(data, 'host')
      const desired = {
        ...{ runId, order: 1, kill: null, factSequence: 0 },
        work: {
          kind: 'launch',
          launch: {
            ...{ driver: 'command', command: ['sleep', '1008'], env: {}, secretEnv: [] },
            workspace: { kind: 'TEMPORARY' },
          },
        },
        leftovers: { graceMs: 100, proofDeadlineMs: 5_000 },
      }
      try {
        const args = [host, JSON.stringify(desired), '', 'after fact RunStarted', 'off']
        const program = startProgram('host.ts', args, { uid: nobody, gid: nobody })
        const ended = await program.next()
        const [alive] = await waitUntil(
          () => markedProcesses(runId).length > 0 && markedProcesses(runId),
          'the run',
          10_000,
        )
        const root = readIdentity(alive ?? 0)
        const killed = await cli(['kill', runId, '--emergency'], { dataDirectory: data })
        expect(killed.code, `${JSON.stringify(ended)}${killed.stderr}`).toBe(0)
        expect(root && exists(root)).toBe(false)
        const files = readdirSync(data, { recursive: true, withFileTypes: true })
        const owners = files.map(({ parentPath, name }) => [name, lstatSync(join(parentPath, name)).uid])
        expect(owners.filter(([, uid]) => uid !== nobody)).toEqual([])
      } finally {
        killThoseOf(data)
        temporary.remove()
      }
    },
  )
})
