// [R14] A kill -9 of the server, which is the host agent too, at every step of every saga.
//
// Which steps there are is not written down here: a server goes through the saga once and says which points it passed,
// before and after each append to the store, each wish and acknowledgement told to the host, and each checkpoint, and
// the host's own. Then one server after the other dies at one of them, and the next one has to go on.
//
// `npm test` leaves out points whose state on disk is that of another point, or that another saga passes in the same
// state (`isSampled`). RUNWARDEN_CRASH=all dies at every single one, also of the host's: about six minutes.
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPostgresEventStore } from '../../../src/event-store/postgres.ts'
import { openPool } from '../../../src/postgres/connection.ts'
import type { Saga } from '../../programs/crashing-server.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'
import { disagreements, endings, faultsOf, projectionsCaughtUp, recordsOf } from '../../support/exactly-once.ts'
import { killThoseOf } from '../../support/host-world.ts'
import { keptFile } from '../../support/kept-file.ts'
import { databaseUrlOf } from '../../support/server.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

const program = join(import.meta.dirname, '../../programs/crashing-server.ts')
const dieEverywhere = process.env.RUNWARDEN_CRASH === 'all'

const isCheckpoint = (point: string) => point.endsWith(' checkpoint')

/** Facts of a kill that mean the same whoever asked for it: the saga `kill` dies at each of them. */
const ofEveryKill = /SigtermSent|SigkillSent|ProcessExited|TelemetrySummarised|CleanupStep|RunCleaned/

/**
 * Before a step is after the one before it, but for what the dispatcher does beside the client. Between the append of a
 * fact, its acknowledgement and the next append control writes nothing. The host's own points have a test of their own
 * (test/integration/host/crash.test.ts).
 */
function isSampled(point: string, kind: Saga['kind']): boolean {
  if (isCheckpoint(point)) return true
  if (point.startsWith('host ') || point.includes('acknowledge') || point.startsWith('before append')) return false
  return kind === 'kill' || kind === 'launch' || !ofEveryKill.test(point)
}

let temporary: ReturnType<typeof makeTemporaryDirectory>
let database: TestDatabase
beforeAll(async () => {
  temporary = makeTemporaryDirectory()
  database = await createTestDatabase()
})
afterAll(async () => {
  killThoseOf(temporary.path)
  await database.drop()
  temporary.remove()
})

/** @returns the points that it passed; undefined: it died. */
async function serve(dataDirectory: string, what: { conclude?: Saga | undefined; begin?: Saga; crashAt?: string }) {
  mkdirSync(dataDirectory, { recursive: true, mode: 0o711 })
  const argument = JSON.stringify({ databaseUrl: databaseUrlOf(database), dataDirectory, ...what })
  // Half the time of a start would go into reading the same sources again.
  const env = { ...process.env, NODE_COMPILE_CACHE: join(temporary.path, 'compiled') }
  const ended = promisify(execFile)(process.execPath, [program, argument], {
    env,
    timeout: 90_000,
    killSignal: 'SIGABRT',
  })
  try {
    const { passed } = JSON.parse((await ended).stdout)
    return (passed as string[]).filter((point) => !/HeartbeatRecorded/.test(point))
  } catch (error) {
    if ((error as { signal?: string }).signal === 'SIGKILL') return undefined
    throw new Error(`${argument}\n${(error as { stderr?: string }).stderr}`, { cause: error })
  }
}

/** One server after the other dies in a saga of its own, after it has gone on with the one before. */
async function dieAtEach(kind: Saga['kind'], directory: string, isPoint: (point: string) => boolean): Promise<number> {
  let earlier: Saga = { kind, key: kind }
  const passed = await serve(directory, { begin: earlier })
  const points = passed?.filter((point) => isPoint(point) && (dieEverywhere || isSampled(point, kind))) ?? []
  for (const crashAt of points) {
    const begin = { kind, key: `${kind} ${crashAt}` }
    expect(await serve(directory, { conclude: earlier, begin, crashAt }), `not reached: ${begin.key}`).toBeUndefined()
    earlier = begin
  }
  await serve(directory, { conclude: earlier })
  return points.length
}

/** What becomes of every run of the saga, whenever its server dies. */
const endingOf = {
  launch: 'RunCompleted',
  kill: 'RunKilled',
  restart: 'RunKilled',
  complete: 'RunForceCompleted',
  pause: 'RunKilled',
  defer: 'RunKilled',
} as const

describe('a server that is killed with SIGKILL', { timeout: 600_000 }, () => {
  it.each(['launch', 'kill', 'restart', 'complete', 'pause', 'defer'] as const)(
    '[R2] [R3] [R14] at each step of the saga %s: the next one goes on, exactly once in effect',
    async (kind) => {
      const directory = join(temporary.path, kind)
      const died = await dieAtEach(kind, directory, (point) => !isCheckpoint(point))
      expect(died).toBeGreaterThanOrEqual(6)
      await expectExactlyOnce(directory, endingOf[kind])
    },
  )

  it('[R14] while it adopts a run', async () => {
    const directory = join(temporary.path, 'adopt')
    const live = { kind: 'live', key: 'adopt' } as const
    await serve(directory, { begin: live, crashAt: 'after acknowledge RunStarted' })
    const points = await serve(directory, { begin: { ...live, kind: 'adopt' } })
    for (const crashAt of points?.filter((point) => dieEverywhere || isSampled(point, 'launch')) ?? []) {
      expect(await serve(directory, { begin: { ...live, kind: 'adopt' }, crashAt }), crashAt).toBeUndefined()
    }
    await serve(directory, { conclude: { ...live, kind: 'adopt' } })
    await expectExactlyOnce(directory, 'RunKilled')
  })

  it('[R14] while it keeps how far its host was told', async () => {
    const directory = join(temporary.path, 'checkpoint')
    expect(await dieAtEach('checkpoint', directory, isCheckpoint)).toBe(2)
    await expectExactlyOnce(directory, 'RunCompleted')
  })

  it.each(['before checkpoint', 'after checkpoint'])('[R14] in its very first start, %s', async (crashAt) => {
    const directory = join(temporary.path, `first start ${crashAt}`)
    const begin = { kind: 'first-start', key: crashAt } as const
    expect(await serve(directory, { begin, crashAt })).toBeUndefined()
    await serve(directory, { conclude: begin })
    await expectExactlyOnce(directory, 'RunCompleted')
  })
})

/** Of all runs of the host in this directory. */
async function expectExactlyOnce(directory: string, ending: string): Promise<void> {
  const { hostId } = JSON.parse(readFileSync(join(directory, 'host/host.json'), 'utf8'))
  const store = createPostgresEventStore({ connection: database.connection })
  const pool = openPool(database.connection, { purpose: 'test' })
  try {
    await projectionsCaughtUp(store, pool)
    const all = await recordsOf(store.readAll(0))
    const own = new Map([...all].filter(([, { state }]) => state.host === hostId))
    expect(own.size).toBeGreaterThan(0)
    expect([...own.values()].flatMap((record) => faultsOf(record, all))).toEqual([])
    for (const { runId, state, events } of own.values()) {
      expect(state.cleanup.doneAt, runId).not.toBeNull()
      expect(
        events.flatMap(({ type }) => (endings.includes(type) ? type : [])),
        runId,
      ).toEqual([ending])
    }
    expect(await disagreements(own, pool)).toEqual([])
    for (const { runId } of own.values()) {
      expect(keptFile(join(directory, 'host'), runId, 'ran'), runId).toBe('ran\n')
      expect(existsSync(join(directory, 'host/runs', runId, 'finished')), runId).toBe(true)
    }
  } finally {
    await store.close()
    await pool.end()
  }
}
