import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exists, readIdentity } from '../../src/os/process-identity.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { graphql, subscribe } from '../support/graphql-client.ts'
import {
  databaseUrlOf,
  makeServerDirectory,
  markedProcesses,
  startTestServer,
  type TestServer,
} from '../support/server.ts'
import { waitUntil } from '../support/wait-until.ts'

const tree = join(import.meta.dirname, '../support/trees/hard-to-kill.sh')
const parts = ['root', 'child', 'setsid', 'daemon', 'fork-loop']

const startRun = `mutation ($input: StartRunInput!) {
  startRun(input: $input) { __typename ... on StartRunAnswer { run { id status } } ... on Problem { message } }
}`
const killRun = `mutation ($input: KillRunInput!) {
  killRun(input: $input) {
    __typename
    ... on Problem { message }
    ... on KillRunAnswer {
      success runId killedAt cleanupStatus message joined waitExpired
      run { status killPhase pid receipt { proven level processes { command signals { signal } goneAt } checks { name passed } } }
    }
  }
}`
const eventTypes = 'query ($id: ID!) { runEvents(id: $id) { edges { node { type } } } }'
const runEvents = `subscription ($id: ID!) { runEvents(id: $id) { cursor node { type revision } } }`

describe.each([
  { cgroups: 'auto', level: 'CGROUP_V2' },
  { cgroups: 'off', level: 'PROCESS_SCAN' },
])('with cgroups $cgroups', ({ cgroups, level }) => {
  const directory = makeServerDirectory()
  let database: TestDatabase
  let server: TestServer

  beforeAll(async () => {
    database = await createTestDatabase()
    const env = { DATABASE_URL: databaseUrlOf(database), RUNWARDEN_CGROUPS: cgroups }
    server = await startTestServer({ dataDirectory: directory.path, env })
  })
  afterAll(async () => {
    await server?.stop()
    await directory.remove()
    await database?.drop()
  })

  it('[R1] [R4] [R6] [R13] [M1] kills a tree that ignores SIGTERM and hides, proves it, and touches no stranger', async () => {
    const pidsPath = join(directory.path, `pids-${cgroups}`)
    const started = await graphql(server.url, server.token, startRun, {
      input: { workflow: 'BUILDER', command: [tree, pidsPath], policy: { graceMs: 300 } },
    })
    expect(started.data.startRun).toMatchObject({ __typename: 'StartRunAnswer' })
    const id: string = started.data.startRun.run.id
    const watched = subscribe(server.url, server.token, runEvents, { id })

    const pids = await waitUntil(() => readPids(pidsPath), 'every part of the tree to be up')
    // Somebody's shell that has inherited the marker, and lives on below its own parent.
    const stranger = spawn('sleep', ['1003'], { env: { ...process.env, RUNWARDEN_RUN_ID: id }, stdio: 'ignore' })
    const strangerIdentity = readIdentity(stranger.pid ?? 0)
    try {
      const before = [...pids.values()].map((pid) => readIdentity(pid)).filter((identity) => identity !== undefined)
      expect(before).toHaveLength(parts.length)

      const killed = await graphql(server.url, server.token, killRun, { input: { runId: id, reason: 'stuck' } })

      expect(killed.data.killRun, JSON.stringify(killed)).toMatchObject({
        __typename: 'KillRunAnswer',
        success: true,
        runId: id,
        cleanupStatus: 'DONE',
        waitExpired: false,
        run: { status: 'KILLED', killPhase: 'DONE', pid: null, receipt: { proven: true, level } },
      })
      expect(Date.parse(killed.data.killRun.killedAt)).toBeGreaterThan(Date.now() - 60_000)
      for (const process of killed.data.killRun.run.receipt.processes) expect(process.goneAt).not.toBeNull()

      expect(before.filter((identity) => exists(identity) && isNoZombie(identity.pid))).toEqual([])
      expect(markedProcesses(id)).toEqual([stranger.pid])
      expect(strangerIdentity && exists(strangerIdentity)).toBe(true)

      await watched.ended()
      const types = watched.received.map(({ runEvents: edge }) => edge.node.type)
      expect(types).toEqual(expect.arrayContaining(['RunRequested', 'RunStarted', 'KillRequested', 'SigtermSent']))
      expect(types.indexOf('SigtermSent')).toBeLessThan(types.indexOf('SigkillSent'))
      expect(types.indexOf('SigkillSent')).toBeLessThan(types.indexOf('RunKilled'))
      expect(types.at(-1)).toBe('RunCleaned')
      const revisions = watched.received.map(({ runEvents: edge }) => edge.node.revision)
      expect(revisions).toEqual(revisions.map((_, index) => index))

      expect(await processRow(database, id)).toMatchObject({ status: 'KILLED', pid: null })
    } finally {
      await watched.close()
      stranger.kill('SIGKILL')
      await once(stranger, 'exit')
    }
  })

  it('[R4] [R11] force goes straight to SIGKILL', async () => {
    const started = await graphql(server.url, server.token, startRun, { input: { command: ['sleep', '1000'] } })
    const id = started.data.startRun.run.id
    const killed = await graphql(server.url, server.token, killRun, { input: { runId: id, force: true } })
    expect(killed.data.killRun).toMatchObject({ success: true, run: { status: 'KILLED' } })
    const signals = killed.data.killRun.run.receipt.processes.flatMap(
      (process: { signals: { signal: string }[] }) => process.signals,
    )
    expect(signals.filter(({ signal }: { signal: string }) => signal === 'SIGTERM')).toEqual([])
  })

  it('[R10] fifty requests at once end in one kill', async () => {
    const started = await graphql(server.url, server.token, startRun, { input: { command: ['sleep', '1000'] } })
    const id = started.data.startRun.run.id
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => graphql(server.url, server.token, killRun, { input: { runId: id } })),
    )
    const results = answers.map(({ data }) => data.killRun)
    for (const result of results) expect(['KillRunAnswer', 'AlreadyEnded']).toContain(result.__typename)
    const events = await graphql(server.url, server.token, eventTypes, { id })
    const types: string[] = events.data.runEvents.edges.map(({ node }: { node: { type: string } }) => node.type)
    expect(types.filter((type) => type === 'KillRequested')).toHaveLength(1)
    expect(types.filter((type) => type === 'RunKilled')).toHaveLength(1)
  })
})

function readPids(path: string): Map<string, number> | undefined {
  if (!existsSync(path)) return undefined
  const lines = readFileSync(path, 'utf8').split('\n').filter(Boolean)
  const pids = new Map(lines.map((line) => line.split(' ')).map(([name, pid]) => [name ?? '', Number(pid)]))
  return parts.every((part) => pids.has(part)) ? pids : undefined
}

const isNoZombie = (pid: number) => !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'))

async function processRow(database: TestDatabase, runId: string): Promise<unknown> {
  const client = new pg.Client(database.connection)
  await client.connect()
  try {
    return (await client.query('SELECT * FROM workflow_processes WHERE run_id = $1', [runId])).rows[0]
  } finally {
    await client.end()
  }
}
