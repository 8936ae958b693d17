import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { allProjections } from '../../../projections/all.ts'
import type { Projection } from '../../../projections/projection.ts'
import { createProjector } from '../../../projections/projector.ts'
import { runs } from '../../../projections/runs.ts'
import { findRun } from '../../../src/control/queries/runs.ts'
import { caughtUp, dump, newRunId, openWorld, requestedAs, type World } from '../../support/projection-world.ts'
import { started } from '../../support/run-events.ts'
import { waitUntil } from '../../support/wait-until.ts'

let world: World
beforeEach(async () => {
  world = await openWorld()
})
afterEach(() => world.close())

const statesOf = async (projector: ReturnType<typeof createProjector>) =>
  (await projector.status()).map(({ state }) => state)

describe('the first start on a database', () => {
  it('[R22] is told as building until the tables are there with what had been recorded, in every process', async () => {
    const { promise: opened, resolve: open } = Promise.withResolvers<void>()
    const gated: Projection = {
      ...runs,
      async fold(events, client) {
        await opened
        await runs.fold(events, client)
      },
    }
    const runId = newRunId()
    await world.append(runId, requestedAs(runId))
    const idle = createProjector({ ...world, projections: [runs], log: { info() {}, error() {} } })
    expect(await statesOf(idle)).toEqual(['building'])
    await idle.close()

    const first = world.project([gated])
    const second = world.project([gated])
    // The tables are there, and empty: a reader would be told that there is no such run.
    await waitUntil(() => world.pool.query('SELECT FROM runs').catch(() => undefined), 'the tables')
    for (const projector of [first, second]) expect(await statesOf(projector)).toEqual(['building'])
    open()
    await waitUntil(async () => {
      const states = [...(await statesOf(first)), ...(await statesOf(second))]
      return states.toSorted().join() === 'running,standby'
    }, 'both to be ready')
    expect(await findRun(world.pool, runId)).toBeDefined()
  })
})

describe('a newer version of a projection', () => {
  it('[R41] builds its tables while the older one runs, which then stops', async () => {
    const newer: Projection = {
      ...runs,
      version: runs.version + 1,
      ddl: `${runs.ddl} ALTER TABLE runs ADD extra text;`,
    }
    const old = world.project([runs])
    const runId = newRunId()
    await world.append(runId, requestedAs(runId))
    await caughtUp(world, old)
    const upgraded = world.project([newer])
    await caughtUp(world, upgraded)
    expect((await world.pool.query('SELECT extra FROM runs')).rowCount).toBe(1)
    await world.append(runId, started())
    await caughtUp(world, upgraded)
    await waitUntil(async () => (await statesOf(upgraded)).join() === 'running', 'the newer one to run')
    expect(await statesOf(old)).not.toContain('running')
    expect(await statesOf(old)).not.toContain('standby')
    expect((await findRun(world.pool, runId))?.status).toBe('RUNNING')
  })
})

describe('a process that is killed in the middle of a rebuild', () => {
  it('[R14] leaves the live tables as they were, and nothing behind once another one runs the projections', async () => {
    const projector = world.project()
    const ids = Array.from({ length: 30 }, newRunId)
    for (const runId of ids) await world.append(runId, requestedAs(runId), started())
    await caughtUp(world, projector)
    const before = await dump(world.pool)
    await projector.close()

    const child = startRebuild()
    try {
      await waitUntil(async () => (await schemas()).length > 0, 'the rebuild to begin')
      child.kill('SIGKILL')
      await once(child, 'exit')
      expect(await schemas()).toEqual(['rebuild_runs'])
      expect(await dump(world.pool)).toEqual(before)
    } finally {
      await stopProcess(child)
    }
    const next = world.project()
    await caughtUp(world, next)
    await waitUntil(async () => (await schemas()).length === 0, 'what was left to be removed')
    expect(await dump(world.pool)).toEqual(before)
    expect(await next.rebuild(null)).toHaveLength(allProjections.length)
    expect(await dump(world.pool)).toEqual(before)
  })

  it('[R14] after a change of version: the next process goes on until the newer tables are there', async () => {
    const projector = world.project()
    const runId = newRunId()
    await world.append(runId, requestedAs(runId), started())
    await caughtUp(world, projector)
    await projector.close()
    await world.pool.query("UPDATE event_store.checkpoints SET version = version - 1 WHERE name = 'runs'")
    await world.pool.query('ALTER TABLE runs ADD old text')

    const child = startRebuild()
    try {
      await waitUntil(async () => (await schemas()).length > 0, 'the rebuild to begin')
      child.kill('SIGKILL')
      await once(child, 'exit')
    } finally {
      await stopProcess(child)
    }
    const columns = async () =>
      (await world.pool.query("SELECT FROM information_schema.columns WHERE column_name = 'old'")).rowCount
    expect(await columns()).toBe(1)
    const next = world.project()
    await waitUntil(async () => (await statesOf(next)).every((state) => state === 'running'), 'all to run')
    expect(await columns()).toBe(0)
    expect(await schemas()).toEqual([])
    expect((await findRun(world.pool, runId))?.status).toBe('RUNNING')
  })
})

const schemas = async () =>
  (await world.pool.query("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'rebuild%'")).rows.map(
    ({ nspname }) => nspname,
  )

/** A process that rebuilds `runs` and never gets to the end of it. */
function startRebuild(): ChildProcess {
  const program = fileURLToPath(new URL('../../programs/rebuild.ts', import.meta.url))
  return spawn(process.execPath, [program, JSON.stringify(world.database.connection)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}

async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}
