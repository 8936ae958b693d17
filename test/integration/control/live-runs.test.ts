import { expect, it } from 'vitest'
import { createLiveRuns } from '../../../src/control/live-runs.ts'
import type { RunId } from '../../../src/domain/ids.ts'
import { openControlWorld } from '../../support/control-world.ts'
import { newRunId, patience } from '../../support/projection-world.ts'
import { event, hostId, paused, receipt, requested, started, turn } from '../../support/run-events.ts'

it('[R16] live runs are as their rows are now, and those that have not changed are not fetched again', async () => {
  const world = await openControlWorld()
  try {
    const projector = world.project()
    const projected = async () => projector.waitFor(await world.store.head(), patience())
    const begin = async (host = hostId): Promise<RunId> => {
      const runId = newRunId()
      await world.append(runId, requested({ runId, host }), started())
      return runId
    }
    const [first, second] = [await begin(), await begin()]
    await begin('host_ba9876543210')
    await projected()
    const liveRuns = createLiveRuns(world.pool, hostId)
    const byId = async () => new Map((await liveRuns()).map((state) => [state.runId, state]))
    const before = await byId()
    expect([...before.keys()].sort()).toEqual([first, second].sort())

    await world.append(first, turn(1))
    await projected()
    const after = await byId()
    expect(after.get(first)).toMatchObject({ turns: 1 })
    expect(after.get(second)).toBe(before.get(second))

    await world.append(second, paused())
    await world.append(first, event('RunCompleted', { rootExit: null, receipt: receipt({ runId: first }) }))
    await projected()
    const third = await begin()
    await projected()
    const last = await byId()
    expect([...last.keys()].sort()).toEqual([second, third].sort())
    expect(last.get(second)).toMatchObject({ status: 'PAUSED' })

    await projector.rebuild(['runs'])
    expect(await byId()).toEqual(last)
  } finally {
    await world.close()
  }
})
