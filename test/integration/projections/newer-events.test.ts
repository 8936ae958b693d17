import { afterEach, beforeEach, expect, it } from 'vitest'
import { runAt } from '../../../src/control/queries/run-at.ts'
import { listRunEvents } from '../../../src/control/queries/run-history.ts'
import { findRun } from '../../../src/control/queries/runs.ts'
import { listPhases, listTimeline } from '../../../src/control/queries/timeline.ts'
import { loadRun } from '../../../src/control/run-log.ts'
import { eventFamilies } from '../../../src/domain/event-families.ts'
import { runStream, telemetryStream } from '../../../src/domain/ids.ts'
import { versionIn } from '../../../src/domain/read-event.ts'
import { caughtUp, dump, newRunId, openWorld, requestedAs, type World } from '../../support/projection-world.ts'
import { started, turn } from '../../support/run-events.ts'

let world: World
beforeEach(async () => {
  world = await openWorld()
})
afterEach(() => world.close())

it('[R41] what a newer Runwarden has written stops no projection, no read and no replay', async () => {
  const projector = world.project()
  const runId = newRunId()
  await world.append(runId, requestedAs(runId), started())
  const streams: Record<string, string[]> = {
    run: [runStream(runId), telemetryStream(runId)],
    audit: ['audit-none'],
    alert: ['alert-x'],
    canary: ['canary'],
    workflow: ['workflow-X'],
  }
  const data = { un: ['heard', 'of'] }
  for (const [name, family] of Object.entries(eventFamilies)) {
    const newer = Object.keys(family.schemas).map((type) => world.envelope({ type, data }, versionIn(family, type) + 1))
    for (const stream of streams[name] ?? [name]) {
      await world.appendTo(stream, [...newer, world.envelope({ type: 'Teleported', data }, 1)])
    }
  }
  await world.append(runId, turn(1))
  await caughtUp(world, projector)
  for (const { name, state } of await projector.status()) expect([name, state]).toEqual([name, 'running'])

  const run = await findRun(world.pool, runId)
  expect(run).toMatchObject({ status: 'RUNNING', turns: 1 })
  expect(await loadRun(world.store, runId)).toMatchObject({ state: { ...run, lastHeartbeatAt: null } })
  expect(await runAt(world.store, runId, { revision: run?.revision ?? 0 }, new Date())).toMatchObject({ turns: 1 })
  const page = await listRunEvents(world.store, runId, { first: 500 })
  expect(page?.items.map(({ item }) => item.event.type)).toContain('Teleported')
  const timeline = await listTimeline(world.pool, runId, { first: 500 })
  expect(timeline.items.map(({ item }) => item.summary)).toContain('Teleported v1, which this Runwarden does not know')
  expect((await listPhases(world.store, runId)).length).toBeGreaterThan(0)

  const before = await dump(world.pool)
  await projector.rebuild(null)
  expect(await dump(world.pool)).toEqual(before)
})
