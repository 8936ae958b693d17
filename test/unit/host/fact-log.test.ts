import { existsSync } from 'node:fs'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { FactBody } from '../../../src/domain/host-link.ts'
import { FactLog } from '../../../src/host/fact-log.ts'
import { hostId, runId, started, turn } from '../../support/run-events.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

let directory: ReturnType<typeof makeTemporaryDirectory>
let facts: FactLog
let urgent: boolean[]
beforeEach(async () => {
  directory = makeTemporaryDirectory()
  urgent = []
  facts = await open()
})
afterEach(async () => {
  await facts.close()
  directory.remove()
})

const acknowledgedPath = () => `${directory.path}/acknowledged`
const open = () =>
  FactLog.open({
    ...{ hostId, runId, path: `${directory.path}/facts.jsonl`, acknowledgedPath: acknowledgedPath() },
    ...{ factSequence: 0, clock: () => new Date(), crashPoint() {} },
    onFact: (isUrgent) => void urgent.push(isUrgent),
  })
const heartbeat: FactBody = { type: 'HeartbeatRecorded', data: { processes: 1 } }
const offered = () => facts.after(0, 1_000).map(({ sequence }) => sequence)

async function reopen() {
  await facts.close()
  facts = await open()
}

it('[R14] acknowledged heartbeats are offered again after a crash, some of them; nothing else is', async () => {
  await facts.emit([started()])
  await facts.acknowledge(1)
  for (let beat = 2; beat <= 49; beat += 1) {
    await facts.emit([heartbeat])
    await facts.acknowledge(beat)
  }
  expect(offered()).toEqual([])
  await reopen()
  expect(offered()).toEqual(Array.from({ length: 48 }, (_, index) => index + 2))
  await facts.emit([turn(1)])
  await facts.acknowledge(50)
  await reopen()
  expect(offered()).toEqual([])
})

it('[R14] what is offered again stays bounded however many heartbeats there were', async () => {
  for (let beat = 1; beat <= 120; beat += 1) {
    await facts.emit([heartbeat])
    await facts.acknowledge(beat)
  }
  await reopen()
  expect(offered().length).toBeLessThan(50)
})

it('[R41] only heartbeats may wait for each other on their way to the store', async () => {
  await facts.emit([heartbeat])
  await facts.emit([turn(1), heartbeat])
  await facts.emit([heartbeat])
  await facts.emit([started()])
  expect(urgent).toEqual([false, true, false, true])
  expect(existsSync(acknowledgedPath())).toBe(false)
})
