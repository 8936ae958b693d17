import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Projection } from '../../../projections/projection.ts'
import { RebuildFailed } from '../../../projections/projector.ts'
import { runTimeline } from '../../../projections/run-timeline.ts'
import { runs } from '../../../projections/runs.ts'
import { findRun } from '../../../src/control/queries/runs.ts'
import { runStream } from '../../../src/domain/ids.ts'
import { caughtUp, newRunId, openWorld, patience, requestedAs, type World } from '../../support/projection-world.ts'
import { started, turn, user } from '../../support/run-events.ts'
import { waitUntil } from '../../support/wait-until.ts'

let world: World
beforeEach(async () => {
  world = await openWorld()
})
afterEach(() => world.close())

const decision = { skippedBy: user, skippedAt: '2026-01-01T00:00:00.000Z', reason: 'a known bug' }

/** Cannot take the events of `type`, until it is healed. */
function picky(type: string) {
  const state = { healed: false }
  const projection: Projection = {
    ...runTimeline,
    async fold(events, client) {
      if (!state.healed && events.some((event) => event.type === type)) throw new Error('indigestible')
      await runTimeline.fold(events, client)
    },
  }
  return { state, projection }
}

const lines = async () => {
  const { rows } = await world.pool.query('SELECT type FROM run_timeline ORDER BY occurred_at')
  return rows.map(({ type }) => type)
}

describe('an event that a projection may pass over', () => {
  it('[R41] is left out, the events behind it are not; who decided so stays to be seen, in every process', async () => {
    const { projection } = picky('TurnCompleted')
    const projector = world.project([projection, runs])
    const standby = world.project([projection, runs])
    const runId = newRunId()
    await world.append(runId, requestedAs(runId))
    const first = await world.append(runId, turn(1))
    const second = await world.append(runId, turn(2))
    await world.append(runId, started())
    await expect(projector.waitFor(second, patience(), 'run_timeline')).rejects.toThrow('indigestible')
    expect(await projector.skip('run_timeline', second, decision)).toBeUndefined()
    expect(await projector.skip('runs', first, decision)).toBeUndefined()

    const skip = {
      position: first,
      type: 'TurnCompleted',
      stream: runStream(runId),
      error: 'indigestible',
      ...decision,
    }
    expect(await standby.skip('run_timeline', first, decision)).toEqual(skip)
    // Each one is decided on by itself.
    await waitUntil(
      async () => (await projector.status())[0]?.failure?.position === second,
      'the projection to stop at the second',
    )
    await projector.skip('run_timeline', second, decision)
    await Promise.all([caughtUp(world, projector), caughtUp(world, standby)])
    expect(await lines()).toEqual(['RunRequested', 'RunStarted'])
    expect((await findRun(world.pool, runId))?.turns).toBe(2)
    for (const process of [projector, standby]) {
      const [status] = await process.status()
      expect(status).toMatchObject({ lag: 0, skips: [skip, { position: second }] })
      expect(status).not.toHaveProperty('failure')
    }
  })

  it('[R41] is tried again by a rebuild, and taken as soon as the code can take it', async () => {
    const { state, projection } = picky('TurnCompleted')
    const projector = world.project([projection])
    const runId = newRunId()
    await world.append(runId, requestedAs(runId), started())
    const position = await world.append(runId, turn(1))
    // So many that a part is folded beside the live tables, and a part by the switch.
    const many = Array.from({ length: 600 }, (_, index) => world.envelope(turn(index + 2), 1))
    await waitUntil(async () => (await projector.status())[0]?.state === 'failed', 'the projection to stop')
    await expect(projector.rebuild(null)).rejects.toThrow(RebuildFailed)
    await projector.skip('run_timeline', position, decision)
    await caughtUp(world, projector)
    expect(await projector.rebuild(null)).toMatchObject([{ name: 'run_timeline', passedOver: 1 }])
    expect((await projector.status())[0]?.skips).toMatchObject([{ position, reason: 'a known bug' }])
    expect(await lines()).toEqual(['RunRequested', 'RunStarted'])

    state.healed = true
    await world.appendTo(runStream(runId), many)
    await caughtUp(world, projector)
    expect(await projector.rebuild(null)).toMatchObject([{ passedOver: 0 }])
    expect((await projector.status())[0]?.skips).toEqual([])
    expect((await lines()).slice(0, 3)).toEqual(['RunRequested', 'RunStarted', 'TurnCompleted'])
    expect(await lines()).toHaveLength(603)
  })
})
