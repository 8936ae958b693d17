import { appendFileSync, mkdirSync } from 'node:fs'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { FactLog } from '../../../src/host/fact-log.ts'
import { Output } from '../../../src/host/output.ts'
import { runPaths } from '../../../src/host/run-directory.ts'
import { Telemetry } from '../../../src/host/telemetry.ts'
import { recordingLog } from '../../support/control-world.ts'
import { hostId, runId, started } from '../../support/run-events.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

let directory: ReturnType<typeof makeTemporaryDirectory>
let facts: FactLog
beforeEach(() => {
  directory = makeTemporaryDirectory()
})
afterEach(async () => {
  await facts.close()
  directory.remove()
})

it('[R16] a look that could not take in the progress (the disk is full) is no complete look', async () => {
  const paths = runPaths(directory.path, runId)
  mkdirSync(paths.io, { recursive: true })
  const clock = () => new Date()
  facts = await FactLog.open({
    ...{ hostId, runId, path: paths.facts, acknowledgedPath: paths.acknowledged, factSequence: 0, clock },
    ...{ crashPoint() {}, onFact() {} },
  })
  await facts.emit([started({ startedAt: clock().toISOString() })])
  const looking = { clock, steady: { awakeMs: () => 0, sinceBootMs: () => 0 }, intervalMs: 5_000, before: undefined }
  const telemetry = new Telemetry({
    ...{ facts, output: await Output.open(paths, 1024), cgroup: null, heartbeatMaxIntervalMs: 60_000 },
    ...{ progress: { path: paths.progress, directory: paths.io, runId }, looking, clock, log: recordingLog().log },
  })
  const emit = facts.emit.bind(facts)
  appendFileSync(paths.progress, '{"turn":1}\n')
  facts.emit = async () => false
  await telemetry.sample(new Map())
  expect(telemetry.sampled).toBeUndefined()
  facts.emit = emit
  await telemetry.sample(new Map())
  expect(telemetry.sampled).toMatchObject({ factSequence: facts.lastSequence, acknowledged: 0 })
  expect(facts.latest('TurnCompleted')).toEqual({ turn: 1 })
})
