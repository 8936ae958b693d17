import { appendFileSync, mkdirSync, statSync } from 'node:fs'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { RunEventBody } from '../../../src/domain/run-events.ts'
import { FactLog } from '../../../src/host/fact-log.ts'
import { Output } from '../../../src/host/output.ts'
import { runPaths } from '../../../src/host/run-directory.ts'
import { Telemetry } from '../../../src/host/telemetry.ts'
import { recordingLog } from '../../support/control-world.ts'
import { stateAfter } from '../../support/decider-spec.ts'
import { hostId, requested, runId, started } from '../../support/run-events.ts'
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

const open = () => {
  const paths = runPaths(directory.path, runId)
  mkdirSync(paths.io, { recursive: true })
  return FactLog.open({
    ...{ hostId, runId, path: paths.facts, acknowledgedPath: paths.acknowledged, factSequence: 0 },
    ...{ clock: () => new Date(), crashPoint() {}, onFact() {} },
  })
}

it('[R41] a summary says what all heartbeats said, also after the journal forgot most of them', async () => {
  facts = await open()
  await facts.emit([started()])
  const notice = (index: number) => (index % 150 === 0 ? { notices: [{ code: 'NOTE', detail: `${index}` }] } : {})
  const heartbeats = Array.from({ length: 4_500 }, (_, index) => {
    // The peaks are somewhere in the middle, each in another one.
    const data = { rssBytes: Math.abs(1_000 - index), processes: (index * 7) % 4_000, openFiles: (index * 3) % 4_001 }
    const text = { lastOutput: `${index} ${'x'.repeat(480)}`, progressPercent: index / 100 }
    return { type: 'HeartbeatRecorded' as const, data: { ...data, ...text, ...notice(index) } }
  })
  await facts.emit(heartbeats)
  await facts.acknowledge(facts.lastSequence)
  await facts.close()
  expect(statSync(runPaths(directory.path, runId).facts).size).toBeLessThan(100_000)

  facts = await open()
  const telemetry = new Telemetry({
    ...{ facts, output: await Output.open(runPaths(directory.path, runId), 1024), cgroup: null },
    ...{ heartbeatMaxIntervalMs: 60_000, progress: undefined, clock: () => new Date(), log: recordingLog().log },
    looking: {
      ...{ clock: () => new Date(), steady: { awakeMs: () => 0, sinceBootMs: () => 0 } },
      ...{ intervalMs: 5_000, before: undefined },
    },
  })
  const summary = await telemetry.summary()
  expect(summary.data.lastHeartbeatAt).toBe(facts.occurredAt('HeartbeatRecorded'))
  const told = (bodies: RunEventBody[]) => {
    const { progressPercent, lastOutput, peakRssBytes, peakProcesses, peakOpenFiles, notices } = stateAfter(bodies)
    return [
      ...[progressPercent, lastOutput, peakRssBytes, peakProcesses, peakOpenFiles],
      notices.map(({ detail }) => detail),
    ]
  }
  const ofSummary = told([requested(), started(), summary])
  expect(ofSummary).toEqual(told([requested(), started(), ...heartbeats]))
  expect(ofSummary.slice(2, 5)).toEqual([3_499, 3_999, 4_000])
})

it('[R16] a look that could not take in the progress (the disk is full) is no complete look', async () => {
  const paths = runPaths(directory.path, runId)
  const clock = () => new Date()
  facts = await open()
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
