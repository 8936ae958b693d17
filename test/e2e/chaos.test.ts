// [R14] Chaos: many runs of many kinds, whose clients start, kill, restart and complete them at random moments, while
// the server, which is the host agent too, is killed with SIGKILL again and again, also in the middle of its start.
//
//   RUNWARDEN_CHAOS_RUNS=300 npm test -- test/e2e/chaos.test.ts     the long form; one kill -9 for every five runs
//   RUNWARDEN_CHAOS_SEED=1234 …                                        what is random is drawn from it; every failure names it
//   RUNWARDEN_CGROUPS=off …                                            at the lower level of proof
//   RUNWARDEN_CHAOS_STORE=kurrentdb …                                  with the events in KurrentDB, which is cut off and
//                                                                      restarted, too (test/support/kurrentdb)
//
// The seed repeats what is asked for and when, not how the machine's processes take turns.
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { RunId } from '../../src/domain/ids.ts'
import { isTerminal } from '../../src/domain/run-state.ts'
import type { EventStore } from '../../src/event-store/event-store.ts'
import { createKurrentEventStore } from '../../src/event-store/kurrentdb.ts'
import { createPostgresEventStore } from '../../src/event-store/postgres.ts'
import { isRunning } from '../../src/host/process-table.ts'
import { openPool } from '../../src/postgres/connection.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { disagreements, faultsOf, projectionsCaughtUp, type RunRecord, recordsOf } from '../support/exactly-once.ts'
import { graphql } from '../support/graphql-client.ts'
import { killThoseOf } from '../support/host-world.ts'
import { keptFile } from '../support/kept-file.ts'
import { type FakeKurrentDb, startFakeKurrentDb } from '../support/kurrentdb/fake-server.ts'
import { createRandom } from '../support/random.ts'
import {
  allMarkedProcesses,
  databaseUrlOf,
  makeServerDirectory,
  spawnServer,
  startTestServer,
  type TestServer,
} from '../support/server.ts'
import { waitUntil } from '../support/wait-until.ts'

const runCount = Number(process.env.RUNWARDEN_CHAOS_RUNS || 30)
const crashCount = Math.ceil(runCount / 5)
const seed = Number(process.env.RUNWARDEN_CHAOS_SEED || randomInt(1_000_000))

/** Requests come at random within this after their run was asked for. */
const spreadMs = 1_500
/** Clients work on so many runs at the same time. */
const clients = 12

const scripts = {
  'ends well': 'echo ran >>ran; sleep 0.3',
  'ends at once': 'echo ran >>ran',
  fails: 'echo ran >>ran; sleep 0.2; exit 3',
  lives: 'echo ran >>ran; exec sleep 1000',
  deaf: 'trap "" TERM; echo ran >>ran; exec sleep 1000',
  'with a child in another session': 'echo ran >>ran; setsid sleep 1000 & wait',
  'with a daemon': 'echo ran >>ran; (setsid sh -c "sleep 1000 & sleep 1000" &); exec sleep 1000',
  'leaves a daemon behind': 'echo ran >>ran; (setsid sleep 1000 &); sleep 0.2',
}
type Kind = keyof typeof scripts
const endless: readonly Kind[] = ['lives', 'deaf', 'with a child in another session', 'with a daemon']

const wishes = ['kill', 'force', 'restart', 'complete', 'kill, then restart', 'stay'] as const
type Wish = (typeof wishes)[number]

/** What a client was told: it must be so in the end. */
type Story = { kind: Kind; wish: Wish; runId: RunId; newRunId?: RunId | undefined }

const directory = makeServerDirectory()
let database: TestDatabase
/** undefined: the events are in the database. */
let kurrentdb: FakeKurrentDb | undefined
let store: EventStore
let pool: pg.Pool
let server: TestServer | undefined
/** Nothing more is to be asked for, and nobody to be killed: the test has failed. */
const over = new AbortController()

beforeAll(async () => {
  database = await createTestDatabase()
  if (process.env.RUNWARDEN_CHAOS_STORE === 'kurrentdb') kurrentdb = await startFakeKurrentDb()
  store =
    kurrentdb === undefined
      ? createPostgresEventStore({ connection: database.connection })
      : createKurrentEventStore(kurrentdb.connectionString())
  pool = openPool(database.connection, { purpose: 'test' })
})
afterAll(async () => {
  await server?.stop()
  killThoseOf(directory.path)
  await directory.remove()
  await store?.close()
  await kurrentdb?.stop()
  await pool?.end()
  await database?.drop()
})

const options = () => ({
  dataDirectory: directory.path,
  env: {
    DATABASE_URL: databaseUrlOf(database),
    ...(kurrentdb && { EVENT_STORE_URL: kurrentdb.connectionString() }),
    RUNWARDEN_CAPACITY: '1000',
    RUNWARDEN_CGROUPS: process.env.RUNWARDEN_CGROUPS ?? 'auto',
  },
})

/** Kills the server at random moments, now and then before it is up, until so many kills were made. */
async function crashAgainAndAgain(): Promise<void> {
  const random = createRandom(seed)
  for (let crashes = 0; crashes < crashCount && !over.signal.aborted; crashes += 1) {
    if (random.chance(0.3)) {
      const { child } = spawnServer(options())
      await delay(random.below(1_200))
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    } else {
      server = await startTestServer(options())
      await delay(random.below(spreadMs))
      if (kurrentdb !== undefined) await trouble(kurrentdb, random)
      await server.crash()
    }
  }
  server = await startTestServer(options())
}

/** Cuts it off around some append, and now and then takes it away for a while. */
async function trouble(kurrentdb: FakeKurrentDb, random: ReturnType<typeof createRandom>): Promise<void> {
  kurrentdb.faults.strikeAppend(random.chance(0.5) ? 'after-commit' : 'before-commit', kurrentdb.cut)
  if (random.chance(0.5)) return
  await kurrentdb.stop()
  await delay(random.below(spreadMs))
  await kurrentdb.start()
}

/** What is read of each mutation's answer. */
const answers = {
  startRun: 'run { id }',
  killRun: 'success',
  restartRun: 'newRunId',
  forceCompleteRun: 'success',
} as const

type Answer = { __typename: string; message?: string; run?: { id: RunId }; newRunId?: RunId }

/** undefined: there was no answer, for the server died meanwhile or cannot work yet. */
async function request(mutation: keyof typeof answers, input: object): Promise<Answer | undefined> {
  if (server === undefined) return undefined
  const type = `${mutation[0]?.toUpperCase()}${mutation.slice(1)}`
  const document = `mutation ($input: ${type}Input!) {
    ${mutation}(input: $input) { __typename ... on Problem { message } ... on ${type}Answer { ${answers[mutation]} } }
  }`
  const answer = await graphql(server.url, server.token, document, { input }).catch(() => undefined)
  if (answer?.errors !== undefined) throw new Error(JSON.stringify(answer.errors))
  const result: Answer | undefined = answer?.data?.[mutation]
  return result?.__typename === 'StoreUnavailable' ? undefined : result
}

/** Asks until there is an answer. */
const ask = (mutation: keyof typeof answers, input: object): Promise<Answer> =>
  waitUntil(
    () => {
      over.signal.throwIfAborted()
      return request(mutation, input)
    },
    `an answer to ${mutation} ${JSON.stringify(input)}`,
    120_000,
  )

async function client(number: number): Promise<Story> {
  // Its own, so that what it does depends on nobody's turn.
  const random = createRandom(seed + number * 1_000_003)
  const kind = random.oneOf(Object.keys(scripts) as Kind[])
  const wish = random.oneOf(wishes)
  const key = `${seed}/${number}`
  const [pauseMs, secondPauseMs] = [random.below(spreadMs), random.below(spreadMs)]
  const policy = { graceMs: random.below(400), proofDeadlineMs: 20_000 }
  const started = await ask('startRun', {
    command: ['sh', '-c', scripts[kind]],
    workflow: 'CHAOS',
    policy,
    idempotencyKey: key,
  })
  const runId = started.run?.id
  if (runId === undefined) throw new Error(`start: ${JSON.stringify(started)}`)
  const story: Story = { kind, wish, runId }
  await delay(pauseMs)
  const timeoutMs = 0
  if (wish.startsWith('kill')) await ask('killRun', { runId, waitFor: 'ACCEPTED', idempotencyKey: key })
  if (wish === 'force') await ask('killRun', { runId, waitFor: 'ACCEPTED', force: true, idempotencyKey: key })
  if (wish === 'complete') await ask('forceCompleteRun', { runId, timeoutMs, reason: key })
  if (wish === 'kill, then restart') await delay(secondPauseMs)
  if (wish.endsWith('restart')) {
    const { newRunId } = await ask('restartRun', { runId, timeoutMs, reason: key })
    return { ...story, newRunId }
  }
  return story
}

/** The stories of all clients, a few of which are at work at any time. */
async function allStories(): Promise<Story[]> {
  const stories: Story[] = []
  let next = 0
  const worker = async () => {
    while (next < runCount) {
      next += 1
      stories.push(await client(next))
    }
  }
  await Promise.all(Array.from({ length: clients }, worker))
  return stories
}

const records = () => recordsOf(store.readAll(0))

/** Runs that somebody wanted to end, or that end by themselves. */
const mustEnd = ({ kind, wish }: Story) => !endless.includes(kind) || wish !== 'stay'
const newRunMustEnd = ({ kind }: Story) => !endless.includes(kind)

async function untilSettled(stories: readonly Story[]): Promise<void> {
  const unsettled = (all: Map<RunId, RunRecord>) => {
    const isOver = (runId: RunId) => {
      const state = all.get(runId)?.state
      return state !== undefined && isTerminal(state.status) && state.cleanup.doneAt !== null
    }
    const lives = (runId: RunId) => all.get(runId)?.state.status === 'RUNNING'
    const isFinished = (runId: RunId) => existsSync(join(directory.path, 'host/runs', runId, 'finished'))
    return stories.flatMap((story) => {
      const { runId, newRunId } = story
      const old = mustEnd(story) ? isOver(runId) && isFinished(runId) : lives(runId)
      const isNewThere = newRunId === undefined || (newRunMustEnd(story) ? isOver(newRunId) : lives(newRunId))
      const isLinked = newRunId === undefined || all.get(runId)?.state.restartedAs === newRunId
      return old && isNewThere && isLinked ? [] : { ...story, status: all.get(runId)?.state.status }
    })
  }
  let left: unknown[] = []
  await waitUntil(
    async () => {
      left = unsettled(await records())
      await delay(100)
      return left.length === 0
    },
    'everything that was asked for to be done',
    60_000,
    () => `seed ${seed}; ${JSON.stringify(left, null, 2)}\n${server?.output().slice(-3_000)}`,
  )
}

/** Of a server that is gone. PostgreSQL may still be at work on the last thing that it was asked for: then once more. */
async function expectOrder(stories: readonly Story[]): Promise<Map<RunId, RunRecord>> {
  const head = await store.head()
  const all = await records()
  await projectionsCaughtUp(store, pool)
  const faults = await disagreements(all, pool)
  if ((await store.head()) !== head) return expectOrder(stories)
  expect(faults).toEqual([])
  const told = new Set(stories.flatMap(({ runId, newRunId }) => [runId, newRunId ?? []].flat()))
  expect(new Set(all.keys()), 'runs that there are, and runs that clients were told of').toEqual(told)
  expect([...all.values()].flatMap((record) => faultsOf(record, all))).toEqual([])
  const ours = [...allMarkedProcesses()].filter(([, pids]) => pids.some(isOfOurs)).map(([runId]) => runId)
  expect(ours.filter((runId) => !all.has(runId))).toEqual([])
  for (const { state } of all.values()) {
    const ran = keptFile(join(directory.path, 'host'), state.runId, 'ran')
    expect(['', 'ran\n'], state.runId).toContain(ran ?? '')
  }
  return all
}

function isOfOurs(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`${directory.path}/`)
  } catch {
    return false
  }
}

/** A run that ends by itself may do so before it is signalled; then its own outcome stands. */
function possibleEnds({ kind, wish }: Story): string[] {
  const own = endless.includes(kind) ? [] : [kind === 'fails' ? 'FAILED' : 'COMPLETED']
  if (wish === 'stay') return own.length === 0 ? ['RUNNING'] : own
  return [...own, wish === 'complete' ? 'FAILED' : 'KILLED']
}

it(
  `[R14] [R32] ${runCount} runs, ${crashCount} × kill -9: everything happens once, and nobody is left`,
  async () => {
    try {
      const working = [allStories(), crashAgainAndAgain()] as const
      const [stories] = await Promise.all(working).finally(async () => {
        over.abort()
        await Promise.allSettled(working)
      })
      await untilSettled(stories)
      // Once more, so that nothing moves while it is looked at: runs that live have heartbeats.
      await server?.crash()
      const all = await expectOrder(stories)
      for (const story of stories) {
        const { status } = all.get(story.runId)?.state ?? {}
        expect(possibleEnds(story), `${story.runId}: ${story.kind}, ${story.wish}`).toContain(status)
      }
      server = await startTestServer(options())
      const alive = [...all.values()].filter(({ state }) => !isTerminal(state.status))
      await Promise.all(
        alive.map(({ runId }) => request('killRun', { runId, force: true, timeoutMs: 30_000, idempotencyKey: 'end' })),
      )
      await server.stop()
      const ended = await expectOrder(stories)
      for (const { state } of ended.values()) {
        expect(isTerminal(state.status), state.runId).toBe(true)
        expect(state.root !== null && isRunning(state.root), state.runId).toBe(false)
      }
    } catch (error) {
      throw new Error(`with RUNWARDEN_CHAOS_SEED=${seed}: ${(error as Error).message}`, { cause: error })
    }
  },
  60_000 + runCount * 4_000,
)
