import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Projector } from '../../../projections/projector.ts'
import { listAudit } from '../../../src/control/queries/audit.ts'
import { findRun } from '../../../src/control/queries/runs.ts'
import { listPhases, listTimeline } from '../../../src/control/queries/timeline.ts'
import { caughtUp, newRunId, openWorld, requestedAs, type World } from '../../support/projection-world.ts'
import { event, exited, killRequested, receipt, root, sigtermSent, started, turn } from '../../support/run-events.ts'

let world: World
let projector: Projector
beforeAll(async () => {
  world = await openWorld()
  projector = world.project()
})
afterAll(() => world.close())

const processRow = async (runId: string) =>
  (await world.pool.query('SELECT * FROM workflow_processes WHERE run_id = $1', [runId])).rows[0]

describe('what a history leaves in the tables', () => {
  it('[R13] a run has its row from the request on, with the pid while its root lives, and keeps the row', async () => {
    const runId = newRunId()
    await world.append(runId, requestedAs(runId))
    await caughtUp(world, projector)
    expect(await processRow(runId)).toMatchObject({ pid: null, status: 'REQUESTED', started_at: null })

    await world.append(runId, started(), event('HeartbeatRecorded', { processes: 3 }))
    await caughtUp(world, projector)
    const live = await processRow(runId)
    expect(live).toMatchObject({ pid: root.pid, status: 'RUNNING', workspace_path: '/tmp/workspace' })
    expect(live.last_heartbeat).toBeInstanceOf(Date)

    const proof = receipt({ runId })
    await world.append(runId, killRequested(), sigtermSent(), exited(143))
    await world.append(runId, event('RunKilled', { rootExit: null, receipt: proof }))
    await caughtUp(world, projector)
    const ended = await processRow(runId)
    expect(ended).toMatchObject({ pid: null, status: 'KILLED', last_heartbeat: live.last_heartbeat })
    expect(ended.created_at).toEqual(live.created_at)
  })

  it('[R13] the table has the columns of the requirement, in its order', async () => {
    await caughtUp(world, projector)
    const { rows } = await world.pool.query(
      `SELECT column_name AS name, data_type AS type FROM information_schema.columns
       WHERE table_schema = 'public' AND table_name = 'workflow_processes' ORDER BY ordinal_position`,
    )
    expect(rows.map(({ name, type }) => `${name} ${type}`)).toEqual([
      'run_id text',
      'pid integer',
      'status text',
      'started_at timestamp with time zone',
      'workspace_path text',
      'last_heartbeat timestamp with time zone',
      'created_at timestamp with time zone',
    ])
  })

  it('[M1] an end without proof changes neither runs nor workflow_processes', async () => {
    const runId = newRunId()
    await world.append(runId, requestedAs(runId), started(), killRequested('force'))
    await world.append(runId, event('RunKilled', { rootExit: null, receipt: receipt({ runId, proven: false }) }))
    await caughtUp(world, projector)
    expect(await processRow(runId)).toMatchObject({ pid: root.pid, status: 'KILLING' })
    expect(await findRun(world.pool, runId)).toMatchObject({ status: 'KILLING', receipt: null })
  })

  it('[R41] runs holds the state that the domain folds, heartbeats included', async () => {
    const runId = newRunId()
    await world.append(runId, requestedAs(runId, 'LINA'), started(), turn(1))
    await world.append(runId, event('HeartbeatRecorded', { progressPercent: 40, lastOutput: 'a\u0000b 😀' }))
    await caughtUp(world, projector)
    expect(await findRun(world.pool, runId)).toMatchObject({
      runId,
      workflow: 'LINA',
      status: 'RUNNING',
      turns: 1,
      progressPercent: 40,
      lastOutput: 'a\ufffdb 😀',
      revision: 2,
    })
  })

  it('[R41] the timeline has one readable line for each lifecycle event', async () => {
    const runId = newRunId()
    await world.append(runId, requestedAs(runId), started(), event('HeartbeatRecorded', {}), killRequested('force'))
    await caughtUp(world, projector)
    const { items } = await listTimeline(world.pool, runId, { first: 10 })
    expect(items.map(({ item }) => [item.revision, item.actor.kind, item.summary])).toEqual([
      [0, 'user', 'BUILDER requested by user ada: sleep with 1 argument'],
      [1, 'host', 'started: process 4242 in /tmp/workspace'],
      [2, 'user', 'force kill requested by user ada: it hangs'],
    ])
    const upTo = await listTimeline(world.pool, runId, { first: 10 }, 1)
    expect(upTo).toMatchObject({ items: [{ item: { revision: 0 } }, { item: { revision: 1 } }], hasNextPage: false })
  })

  it('[R24] the phases of a run come from its events, up to a revision where one is given', async () => {
    const runId = newRunId()
    await world.append(runId, requestedAs(runId), started(), killRequested('force'))
    // In the order of their times, which in this history are made up.
    const kinds = async (upTo?: number) => new Set((await listPhases(world.store, runId, upTo)).map(({ kind }) => kind))
    expect(await kinds()).toEqual(new Set(['WAITING', 'WORKING', 'KILL_REQUESTED']))
    expect(await kinds(1)).toEqual(new Set(['WAITING', 'WORKING']))
    expect(await listPhases(world.store, newRunId())).toEqual([])
    expect(await listPhases(world.store, 'run_nonsense')).toEqual([])
  })

  it('[R20] an attempt is one row; a refused one has its reason, an allowed one its outcome', async () => {
    const runId = newRunId()
    const [refused, allowed] = [randomUUID(), randomUUID()]
    const attempt = { action: 'killRun', target: runId, reason: 'it hangs', details: { force: true } } as const
    await world.appendAudit(runId, {
      type: 'ActionAttempted',
      data: { ...attempt, attemptId: refused, decision: 'denied', why: 'not the owner' },
    })
    await world.appendAudit(
      runId,
      { type: 'ActionAttempted', data: { ...attempt, attemptId: allowed, decision: 'allowed', why: 'permitted' } },
      { type: 'ActionCompleted', data: { attemptId: allowed, outcome: 'ACCEPTED', detail: 'kill under way' } },
    )
    await caughtUp(world, projector)
    const { items } = await listAudit(world.pool, { runId }, { first: 10 })
    expect(items.map(({ item }) => item)).toMatchObject([
      { attemptId: allowed, decision: 'allowed', outcome: 'ACCEPTED', detail: 'kill under way', runId },
      { attemptId: refused, decision: 'denied', why: 'not the owner', outcome: null, completedAt: null },
    ])
    expect(items[0]?.item).toMatchObject({ actor: { kind: 'user', id: 'ada' }, details: { force: true } })
  })
})
