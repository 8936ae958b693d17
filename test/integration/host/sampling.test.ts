import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createHostWorld, type HostWorld } from '../../support/host-world.ts'
import { waitUntil } from '../../support/wait-until.ts'

let world: HostWorld
beforeEach(async () => {
  world = await createHostWorld()
})
afterEach(() => world.end())

const minutes = 60_000
const later = (ms: number) => ({ clock: () => new Date(Date.now() + ms) })
const sampled = (runId: string) => waitUntil(() => world.host.sampled(runId), `a look at ${runId}`)

it('[R16] what an agent that was away did not see is told before what it sees, and only once', async () => {
  const { runId } = await world.launch(['sleep', '1000'])
  await sampled(runId)
  await world.restart(later(40 * minutes))
  appendFileSync(join(world.directory(runId), 'io/progress.jsonl'), '{"turn":1,"phase":"build"}\n')
  await world.fact(runId, 'TurnCompleted')
  const gap = await world.fact(runId, 'SamplingInterrupted')
  expect(gap.cause).toBe('agent-down')
  expect(gap.gapMs).toBeGreaterThan(39.9 * minutes)
  expect(gap.gapMs).toBeLessThan(42 * minutes)
  const before = await sampled(runId)
  await world.restart(later(40 * minutes))
  const after = await waitUntil(() => world.host.sampled(runId), 'a look by the third agent')
  expect(Date.parse(after.at)).toBeGreaterThanOrEqual(Date.parse(before.at))
  expect(world.types(runId)).toEqual([
    'RunStarted',
    'RunAdopted',
    'SamplingInterrupted',
    'TurnCompleted',
    'PhaseChanged',
    'RunAdopted',
  ])
})

it('[R16] a clock that is set while the agent watches', async () => {
  let setBy = 0
  await world.restart({ clock: () => new Date(Date.now() + setBy) })
  const { runId } = await world.launch(['sleep', '1000'])
  await sampled(runId)
  setBy = -60 * minutes
  const gap = await world.fact(runId, 'SamplingInterrupted')
  expect(gap.cause).toBe('clock-set')
  expect(gap.gapMs).toBeLessThan(-59.9 * minutes)
  const sample = await waitUntil(async () => {
    const found = await world.host.sampled(runId)
    return found !== undefined && Date.parse(found.at) < Date.now() - 59 * minutes && found
  }, 'a look by the new clock')
  const told = world.ofRun(runId).find(({ body }) => body.type === 'SamplingInterrupted')
  expect(sample.factSequence).toBeGreaterThanOrEqual(told?.sequence ?? Number.NaN)
})

it('[R16] a look says how far the store has its facts', async () => {
  world.acknowledge(false)
  const { runId } = await world.launch(['sleep', '1000'])
  const sample = await sampled(runId)
  expect(sample.acknowledged).toBeLessThan(sample.factSequence)
  await world.host.acknowledge(runId, sample.factSequence)
  expect((await sampled(runId)).acknowledged).toBe(sample.factSequence)
  world.acknowledge(true)
})
