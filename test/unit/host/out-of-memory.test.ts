import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { Cgroup } from '../../../src/host/cgroup.ts'
import { FactLog } from '../../../src/host/fact-log.ts'
import { Output } from '../../../src/host/output.ts'
import { runPaths } from '../../../src/host/run-directory.ts'
import { Telemetry } from '../../../src/host/telemetry.ts'
import { recordingLog } from '../../support/control-world.ts'
import { hostId, runId } from '../../support/run-events.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

let directory: ReturnType<typeof makeTemporaryDirectory>
let cgroup: string
let facts: FactLog
beforeEach(() => {
  directory = makeTemporaryDirectory()
  cgroup = join(directory.path, 'cgroup')
  mkdirSync(cgroup)
})
afterEach(async () => {
  await facts.close()
  directory.remove()
})

const clock = () => new Date()

async function summary() {
  const paths = runPaths(directory.path, runId)
  mkdirSync(paths.io, { recursive: true })
  facts = await FactLog.open({
    ...{ hostId, runId, path: paths.facts, acknowledgedPath: paths.acknowledged, factSequence: 0 },
    ...{ clock, crashPoint() {}, onFact() {} },
  })
  const looking = { clock, steady: { awakeMs: () => 0, sinceBootMs: () => 0 }, intervalMs: 5_000, before: undefined }
  const telemetry = new Telemetry({
    ...{ facts, output: await Output.open(paths, 1024), cgroup: new Cgroup(cgroup), progress: undefined },
    ...{ heartbeatMaxIntervalMs: 60_000, looking, clock, log: recordingLog().log },
  })
  return (await telemetry.summary()).data
}

/** As the kernel writes it: this machine may have no memory controller. */
const memoryEvents = (oom: number, kills: number) =>
  `low 0\nhigh 0\nmax 17\noom ${oom}\noom_kill ${kills}\noom_group_kill 0\n`

it.each([
  ['its own limit', 3, 1, '209715200\n', { kills: 1, limitHits: 3, limitBytes: 209_715_200 }],
  ['the memory of the machine', 0, 2, 'max\n', { kills: 2, limitHits: 0, limitBytes: null }],
  ['nothing: nobody was killed', 2, 0, '209715200\n', undefined],
])('[R10] the summary tells of who was killed for memory: %s', async (_, oom, kills, max, expected) => {
  writeFileSync(join(cgroup, 'memory.events'), memoryEvents(oom, kills))
  writeFileSync(join(cgroup, 'memory.max'), max)
  expect((await summary()).outOfMemory).toEqual(expected)
})

it('[R10] without the memory controller nothing is said of memory that ran out', async () => {
  expect(await summary()).not.toHaveProperty('outOfMemory')
})
