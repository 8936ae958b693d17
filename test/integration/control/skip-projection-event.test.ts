import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Projection } from '../../../projections/projection.ts'
import { runTimeline } from '../../../projections/run-timeline.ts'
import { runs } from '../../../projections/runs.ts'
import { createAuditLog } from '../../../src/control/audit-log.ts'
import { createAuditSpool } from '../../../src/control/audit-spool.ts'
import { rebuildProjections } from '../../../src/control/rebuild-projections.ts'
import { skipProjectionEvent } from '../../../src/control/skip-projection-event.ts'
import { type ControlWorld, openControlWorld } from '../../support/control-world.ts'
import { turn, user } from '../../support/run-events.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

let world: ControlWorld
let directory: ReturnType<typeof makeTemporaryDirectory>
beforeEach(async () => {
  world = await openControlWorld()
  directory = makeTemporaryDirectory()
})
afterEach(async () => {
  await world.close()
  directory.remove()
})

const picky: Projection = {
  ...runTimeline,
  async fold(events, client) {
    if (events.some(({ type }) => type === 'TurnCompleted')) throw new Error('indigestible')
    await runTimeline.fold(events, client)
  },
}

it('[R20] passing over an event is decided by somebody, who is on record with the reason, as are those who may not', async () => {
  const projector = world.project([runs, picky])
  const now = new Date('2026-01-01T00:00:00.000Z')
  const spool = createAuditSpool(`${directory.path}/spool.jsonl`, world.log)
  const audit = createAuditLog(
    world.store,
    spool,
    () => now,
    async () => {},
  )
  const context = { actor: user, correlationId: 'test' }
  const { signal } = new AbortController()
  const skip = (input: object) => skipProjectionEvent(projector, audit, context, input, now, signal)
  const runId = await world.requestRun()
  const position = await world.append(runId, turn(1))
  await world.until(async () => (await projector.status())[1]?.state === 'failed', 'the projection to stop')

  expect(await rebuildProjections(projector, audit, context, null, signal)).toMatchObject({
    ...{ type: 'RebuildFailed', projection: 'run_timeline', position },
    message: expect.stringContaining('indigestible'),
  })
  expect(await skip({ name: 'rums', position })).toMatchObject({ type: 'UnknownProjection' })
  expect(await skip({ name: 'runs', position: 0 })).toMatchObject({ type: 'InvalidInput' })
  expect(await skip({ name: 'runs', position })).toMatchObject({ type: 'ProjectionNotStopped' })
  const answer = await skip({ name: 'run_timeline', position, reason: 'half of \ud83d\0' })
  expect(answer).toMatchObject({
    type: 'SkipProjectionEventAnswer',
    skip: { position, skippedBy: user, skippedAt: now.toISOString(), reason: 'half of \ufffd\ufffd' },
    projection: { name: 'run_timeline', state: 'running' },
  })

  const recorded = (await world.eventsOf('audit-none')).map(({ type, data }) => ({ type, data: data as object }))
  const attempts = recorded.filter(({ data }) => 'action' in data && data.action === 'skipProjectionEvent')
  expect(attempts.map(({ data }) => 'decision' in data && data.decision)).toEqual([
    'denied',
    'denied',
    'allowed',
    'allowed',
  ])
  expect(attempts.at(-1)?.data).toMatchObject({
    target: 'run_timeline',
    details: { position, type: 'TurnCompleted', error: 'indigestible' },
  })
  expect(recorded.at(-1)?.data).toMatchObject({ outcome: 'COMPLETED' })
})
