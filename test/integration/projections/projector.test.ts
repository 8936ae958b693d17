import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { allProjections } from '../../../projections/all.ts'
import type { Projection } from '../../../projections/projection.ts'
import { ProjectionFailed, type Projector } from '../../../projections/projector.ts'
import { runTimeline } from '../../../projections/run-timeline.ts'
import { runs } from '../../../projections/runs.ts'
import { findRun } from '../../../src/control/queries/runs.ts'
import { runStream } from '../../../src/domain/ids.ts'
import {
  caughtUp,
  dump,
  newRunId,
  openWorld,
  patience,
  requestedAs,
  type World,
} from '../../support/projection-world.ts'
import { started, turn } from '../../support/run-events.ts'
import { waitUntil } from '../../support/wait-until.ts'

let world: World
beforeEach(async () => {
  world = await openWorld()
})
afterEach(() => world.close())

const stateOf = async (projector: Projector, name: string) =>
  (await projector.status()).find((status) => status.name === name)

describe('a projection', () => {
  it('[R41] folds each event exactly once, though its transaction breaks off again and again', async () => {
    let breaks = 0
    // A timeline counts: an event that is folded twice violates its key, one that is left out is missing.
    const breaking: Projection = {
      ...runTimeline,
      async fold(events, client) {
        await runTimeline.fold(events, client)
        breaks += 1
        if (breaks % 2 === 1) await client.query('SELECT pg_terminate_backend(pg_backend_pid())')
      },
    }
    const projector = world.project([breaking])
    const runId = newRunId()
    await world.append(runId, requestedAs(runId), started(), turn(1))
    await projector.waitFor(await world.store.head(), patience(), 'run_timeline')
    await world.append(runId, turn(2), turn(3))
    await projector.waitFor(await world.store.head(), patience(), 'run_timeline')
    const { rows } = await world.pool.query('SELECT revision::int FROM run_timeline ORDER BY revision')
    expect(rows.map(({ revision }) => revision)).toEqual([0, 1, 2, 3, 4])
    expect(breaks).toBeGreaterThan(2)
  })

  it('[R41] that meets an event it cannot take stops before it, says so everywhere, and stops no other', async () => {
    const poison = newRunId()
    const picky: Projection = {
      ...runs,
      async fold(events, client) {
        if (!healed && events.some((event) => event.stream === runStream(poison))) throw new Error('indigestible')
        await runs.fold(events, client)
      },
    }
    let healed = false
    const projector = world.project([picky, runTimeline])
    const standby = world.project([picky, runTimeline])
    const [before, after] = [newRunId(), newRunId()]
    // One batch, so that the poison has to be found in it.
    await world.append(before, requestedAs(before))
    const position = await world.append(poison, requestedAs(poison))
    await world.append(after, requestedAs(after))

    const head = await world.store.head()
    await projector.waitFor(head, patience(), 'run_timeline')
    await expect(projector.waitFor(head, patience())).rejects.toThrow(ProjectionFailed)
    await expect(standby.waitFor(head, patience())).rejects.toThrow('indigestible')
    expect(await findRun(world.pool, before)).toBeDefined()
    expect(await findRun(world.pool, after)).toBeUndefined()
    for (const process of [projector, standby]) {
      expect(await stateOf(process, 'runs')).toMatchObject({
        state: 'failed',
        position: position - 1,
        failure: { position, type: 'RunRequested', stream: runStream(poison), error: 'indigestible' },
      })
      expect((await stateOf(process, 'run_timeline'))?.state).not.toBe('failed')
    }
    await expect(projector.rebuild(['runs'])).rejects.toThrow(`event ${position} (RunRequested`)

    healed = true
    await standby.rebuild(['runs'])
    await Promise.all([caughtUp(world, projector), caughtUp(world, standby)])
    expect(await findRun(world.pool, after)).toBeDefined()
    expect((await stateOf(projector, 'runs'))?.state).not.toBe('failed')
    const late = await world.append(after, turn(1))
    await projector.waitFor(late, patience())
  })

  it('[R41] that has stopped tries again after a restart', async () => {
    const failing: Projection = { ...runs, fold: () => Promise.reject(new Error('a bug')) }
    const broken = world.project([failing])
    const runId = newRunId()
    await world.append(runId, requestedAs(runId))
    await waitUntil(async () => (await stateOf(broken, 'runs'))?.state === 'failed', 'the projection to stop')
    await broken.close()
    const mended = world.project([runs])
    await waitUntil(async () => (await stateOf(mended, 'runs'))?.state === 'running', 'the projection to run')
    expect(await findRun(world.pool, runId)).toBeDefined()
  })

  it('[R41] ignores events of types that only a newer version knows', async () => {
    const projector = world.project()
    const runId = newRunId()
    await world.append(runId, requestedAs(runId))
    await world.appendTo(runStream(runId), [world.envelope({ type: 'RunTeleported', data: { to: 'Mars' } }, 1)])
    await world.append(runId, started())
    await caughtUp(world, projector)
    expect((await findRun(world.pool, runId))?.status).toBe('RUNNING')
  })

  it('[R41] built from another store is built anew', async () => {
    const first = world.project([runs])
    const runId = newRunId()
    await world.append(runId, requestedAs(runId))
    await caughtUp(world, first)
    await first.close()
    const other = await openWorld()
    try {
      const elsewhere = world.project([runs], other.store)
      const theirs = newRunId()
      await other.append(theirs, requestedAs(theirs))
      await caughtUp(other, elsewhere)
      expect(await findRun(world.pool, theirs)).toBeDefined()
      expect(await findRun(world.pool, runId)).toBeUndefined()
      await elsewhere.close()
    } finally {
      await other.close()
    }
  })

  it('[R14] is taken over by another process when the one that runs it is killed', async () => {
    const children: ChildProcess[] = []
    try {
      const [leader, states] = startProcess()
      children.push(leader)
      await waitUntil(() => states().includes('running'), 'the first process to run it')
      const [second, secondStates] = startProcess()
      children.push(second)
      await waitUntil(() => secondStates().includes('standby'), 'the second process to stand by')

      const waiting = world.project()
      const runId = newRunId()
      await world.append(runId, requestedAs(runId))
      // A waiter of one process follows what another one commits.
      await caughtUp(world, waiting)
      await waiting.close()
      expect(secondStates()).not.toContain('running')

      leader.kill('SIGKILL')
      await world.append(runId, started())
      await waitUntil(() => secondStates().includes('running'), 'the second process to take over')
      await waitUntil(async () => (await findRun(world.pool, runId))?.status === 'RUNNING', 'the event to be folded')
    } finally {
      await Promise.all(children.map(stopProcess))
    }
  })

  it('[R41] once closed holds no connection', async () => {
    const projector = world.project(allProjections)
    await caughtUp(world, projector)
    await projector.close()
    await waitUntil(async () => {
      const { rows } = await world.pool.query(
        `SELECT application_name FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'runwarden projection%'`,
      )
      return rows.length === 0
    }, 'the connections to be closed')
    expect(Object.keys(await dump(world.pool))).toEqual(allProjections.flatMap(({ tables }) => tables))
    await expect(projector.waitFor(1_000, patience())).rejects.toThrow('closed')
  })
})

const program = fileURLToPath(new URL('../../programs/projector.ts', import.meta.url))

function startProcess(): [ChildProcess, () => string] {
  const child = spawn(process.execPath, [program, JSON.stringify(world.database.connection)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  child.stdout.on('data', (chunk) => {
    said += chunk
  })
  return [child, () => said]
}

async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}
