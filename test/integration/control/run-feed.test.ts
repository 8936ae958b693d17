import { getEventListeners } from 'node:events'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createRunFeed } from '../../../src/control/run-feed.ts'
import { loadRun } from '../../../src/control/run-log.ts'
import { runStream } from '../../../src/domain/ids.ts'
import { type ControlWorld, openControlWorld } from '../../support/control-world.ts'
import { newEvent } from '../../support/new-event.ts'
import { newRunId, patience } from '../../support/projection-world.ts'
import { started, turn } from '../../support/run-events.ts'
import { waitUntil } from '../../support/wait-until.ts'

let world: ControlWorld
beforeEach(async () => {
  world = await openControlWorld()
})
afterEach(() => world.close())

async function beginFeed(store = world.store) {
  const feed = createRunFeed(store)
  const head = await world.store.head()
  world.begin((signal) => feed.follow(head, signal))
  return feed
}

it('[R23] no event falls between the read and the listening, whenever it is appended', async () => {
  let duringRead = async () => {}
  // Holds the reader just before and just after each of its reads, where an event could be missed.
  const feed = await beginFeed({
    ...world.store,
    async *readStream(stream, options) {
      await duringRead()
      const events = []
      for await (const event of world.store.readStream(stream, options)) events.push(event)
      await duringRead()
      yield* events
    },
  })
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 4, maxLength: 4 }), async (counts) => {
      const runId = await world.requestRun()
      let turns = 0
      const appendTurns = async (count = 0) => {
        for (let added = 0; added < count; added += 1) {
          turns += 1
          await world.append(runId, turn(turns))
        }
      }
      const left = counts.slice(1, 3)
      duringRead = () => appendTurns(left.shift())
      await appendTurns(counts[0])
      const wanted = counts.reduce((sum, count) => sum + count)
      const waiting = feed.wait(runId, (run) => run.turns >= wanted, patience())
      await world.until(() => left.length === 0, 'the read to be over')
      await appendTurns(counts[3])
      const seen = await waiting
      expect(seen?.state.turns).toBe(wanted)
    }),
    { numRuns: 25 },
  )
})

it('what was waited for is what a read gives: the same state, and the position of its last event', async () => {
  const feed = await beginFeed()
  const runId = await world.requestRun()
  const waiting = feed.wait(runId, (run) => run.turns === 3, patience())
  await world.append(runId, started(), turn(1), turn(2))
  const position = await world.append(runId, turn(3))
  const seen = await waiting
  const loaded = await loadRun(world.store, runId)
  expect(seen?.state).toEqual(loaded?.state)
  expect(seen?.position).toBe(position)
})

it('[R23] an abort ends a wait with what was seen last; a run that there is not is not waited for', async () => {
  const feed = await beginFeed()
  const runId = await world.requestRun()
  const controller = new AbortController()
  const looked = new Set<string>()
  const waiting = feed.wait(runId, () => looked.add('waiting').size === 0, controller.signal)
  const other = feed.wait(runId, (run) => looked.add('other') && run.status === 'RUNNING', patience())
  // Both have read the run, so both hear of the event by the feed.
  await waitUntil(() => looked.size === 2, 'both to wait')
  await world.append(runId, started())
  await other
  controller.abort()
  expect((await waiting)?.state.status).toBe('RUNNING')
  expect((await feed.wait(runId, () => false, AbortSignal.abort()))?.state.status).toBe('RUNNING')
  expect(await feed.wait(newRunId(), () => true, patience())).toBeUndefined()
})

it('an event that cannot be read ends the waits for its own run, and no other', async () => {
  const feed = await beginFeed()
  const [poisoned, healthy] = [await world.requestRun(), await world.requestRun()]
  const hurt = feed.wait(poisoned, (run) => run.turns > 0, patience())
  const spared = feed.wait(healthy, (run) => run.turns > 0, patience())
  const refused = expect(hurt).rejects.toThrow('does not fit its schema')
  await world.appendTo(runStream(poisoned), [{ ...newEvent({ turn: 'many' }), type: 'TurnCompleted' }])
  await refused
  await world.append(healthy, turn(1))
  expect((await spared)?.state.turns).toBe(1)
  expect((await feed.wait(healthy, (run) => run.turns > 0, patience()))?.state.turns).toBe(1)
})

it('[R14] waits go on over an outage of the store', async () => {
  const feed = await beginFeed()
  const runId = await world.requestRun()
  const waiting = feed.wait(runId, (run) => run.turns === 2, patience())
  await world.append(runId, turn(1))
  await world.goAway()
  await world.comeBack()
  await world.until(() => world.append(runId, turn(2)).then(Boolean, () => false), 'the store to take events again')
  expect((await waiting)?.state.turns).toBe(2)
})

it('[R8] a wait that is over leaves no listener behind, on a signal that lives long either', async () => {
  const feed = await beginFeed()
  const runId = await world.requestRun()
  const { signal } = new AbortController()
  for (let count = 0; count < 20; count += 1) await feed.wait(runId, () => true, signal)
  await feed.wait(newRunId(), () => true, signal)
  expect(getEventListeners(signal, 'abort')).toHaveLength(0)
})
