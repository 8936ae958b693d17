import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ReplayedRun, runAt } from '../../../src/control/queries/run-at.ts'
import type { RecordedEvent } from '../../../src/domain/event.ts'
import { foldRun } from '../../../src/domain/fold-run.ts'
import { type RunId, runOfStream, runStream, telemetryStream } from '../../../src/domain/ids.ts'
import { isTelemetry, type RunEventBody, runEventVersion } from '../../../src/domain/run-events.ts'
import type { RunState } from '../../../src/domain/run-state.ts'
import { collect } from '../../support/collect.ts'
import { newRunId, openWorld, requestedAs, type World } from '../../support/projection-world.ts'
import { historyOf } from '../../support/random-history.ts'
import { event, exited, killRequested, receipt, started, time, treeGone, turn } from '../../support/run-events.ts'

let world: World
beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world.close())

/** Later than everything that these tests write. */
const now = new Date(time(365 * 24 * 3600_000))
const at = (runId: RunId, ms: number) => runAt(world.store, runId, { time: time(ms) }, now)

/** Each body with the milliseconds at which it happened, in the order in which it is recorded. */
async function write(runId: RunId, ...written: [ms: number, body: RunEventBody][]): Promise<void> {
  for (const [ms, body] of written) {
    const stream = isTelemetry(body.type) ? telemetryStream(runId) : runStream(runId)
    const { metadata, ...rest } = world.envelope(body, runEventVersion[body.type])
    await world.appendTo(stream, [{ ...rest, metadata: { ...metadata, occurredAt: time(ms) } }])
  }
}

async function historyIn(runId: RunId): Promise<RecordedEvent[]> {
  const all = await collect(world.store.readAll(0))
  return all.filter(({ stream }) => runOfStream(stream) === runId)
}

const heartbeat = (progressPercent: number) => event('HeartbeatRecorded', { progressPercent })
const withoutMoment = ({ asOf: _, heartbeatsRetired: __, ...state }: ReplayedRun): RunState => state
const foldOf = (events: RecordedEvent[]) => events.reduce<RunState | undefined>(foldRun, undefined)
const ofTemplate = <Value>(value: Value, template: RunId, runId: RunId): Value =>
  JSON.parse(JSON.stringify(value).replaceAll(template, runId))

describe('a run right after one of its events', () => {
  it('[R24] is what the events up to there fold to, at every revision', async () => {
    const template = newRunId()
    await fc.assert(
      fc.asyncProperty(historyOf(template), async (written) => {
        const runId = newRunId()
        const isSummed = written.some(({ type }) => type === 'TelemetrySummarised')
        await world.append(runId, ...ofTemplate(written, template, runId))
        let state: RunState | undefined
        let revisions = 0
        for (const recorded of await historyIn(runId)) {
          state = foldRun(state, recorded)
          if (recorded.type === 'HeartbeatRecorded') continue
          revisions += 1
          const { asOf, heartbeatsRetired, ...replayed } =
            (await runAt(world.store, runId, { revision: recorded.revision }, now)) ?? {}
          expect(replayed).toEqual(state)
          expect(asOf).toBe(recorded.metadata.occurredAt)
          // A summary says when the last heartbeat was; the history may hold none.
          if (!isSummed) expect(heartbeatsRetired).toBe(false)
        }
        expect(await runAt(world.store, runId, { revision: revisions }, now)).toBeUndefined()
      }),
      { numRuns: 5 },
    )
    expect(await runAt(world.store, newRunId(), { revision: 0 }, now)).toBeUndefined()
    expect(await runAt(world.store, 'run_nonsense', { revision: 0 }, now)).toBeUndefined()
    expect(await runAt(world.store, template, { revision: -1 }, now)).toBeUndefined()
  })

  it('[R24] is as of the latest thing that is known then, so that nothing in it lies in the future', async () => {
    const runId = newRunId()
    await write(runId, [0, requestedAs(runId)], [10, started()], [5_000, heartbeat(40)], [4_000, turn(1)])
    const run = await runAt(world.store, runId, { revision: 2 }, now)
    expect(run).toMatchObject({ turns: 1, progressPercent: 40, asOf: time(5_000) })
  })
})

describe('a run at a time', () => {
  it('[R24] is what had happened by then, heartbeats too', async () => {
    const runId = newRunId()
    await write(
      runId,
      [0, requestedAs(runId)],
      [1_000, started()],
      [5_000, heartbeat(10)],
      [6_000, turn(1)],
      [10_000, heartbeat(20)],
      [15_000, heartbeat(30)],
      [16_000, killRequested()],
      [17_000, event('RunKilled', { rootExit: null, receipt: receipt({ runId }) })],
    )
    expect(await at(runId, -1)).toBeUndefined()
    expect(await at(runId, 0)).toMatchObject({ status: 'REQUESTED', asOf: time(0), revision: 0 })
    expect(await at(runId, 5_999)).toMatchObject({ status: 'RUNNING', turns: 0, progressPercent: 10 })
    expect(await at(runId, 14_999)).toMatchObject({ turns: 1, progressPercent: 20, lastHeartbeatAt: time(10_000) })
    expect(await at(runId, 16_500)).toMatchObject({ status: 'KILLING', progressPercent: 30, asOf: time(16_500) })
    expect(await at(runId, 17_000)).toMatchObject({ status: 'KILLED', endedAt: time(17_000) })
    expect(await at(newRunId(), 0)).toBeUndefined()
    expect(await runAt(world.store, 'run_nonsense', { time: time(0) }, now)).toBeUndefined()
  })

  it('[R24] is never later than now', async () => {
    const runId = newRunId()
    await write(runId, [0, requestedAs(runId)])
    const run = await runAt(world.store, runId, { time: '2999-01-01T00:00:00.000Z' }, now)
    expect(run).toMatchObject({ status: 'REQUESTED', asOf: now.toISOString() })
  })

  it('[R24] [M8] a fact that was recorded late takes effect with its neighbours: no state that never was', async () => {
    const runId = newRunId()
    // The root ended by itself before the kill was asked for, but nobody knew it then.
    await write(
      runId,
      [0, requestedAs(runId)],
      [1_000, started()],
      [9_000, killRequested()],
      [8_000, exited(0)],
      [9_500, event('RunCompleted', { rootExit: null, receipt: treeGone(receipt({ runId })).data.receipt })],
    )
    expect(await at(runId, 8_500)).toMatchObject({ status: 'RUNNING', rootExit: null, revision: 1 })
    expect(await at(runId, 9_000)).toMatchObject({ status: 'KILLING', rootExit: { status: 0 }, revision: 3 })
  })

  it('[R24] is after the longest beginning of its stream that is not later, however the times are mixed up', async () => {
    const template = newRunId()
    const jitter = fc.integer({ min: -5_000, max: 5_000 })
    await fc.assert(
      fc.asyncProperty(
        historyOf(template),
        fc.array(jitter, { minLength: 32, maxLength: 32 }),
        async (bodies, jitters) => {
          const runId = newRunId()
          const times = bodies.map((_, index) => index * 1_000 + (jitters[index] ?? 0))
          await write(
            runId,
            ...ofTemplate(bodies, template, runId).map((body, i) => [times[i] ?? 0, body] as [number, RunEventBody]),
          )
          const history = await historyIn(runId)
          const lifecycle = history.filter(({ type }) => type !== 'HeartbeatRecorded')
          for (const ms of [-6_000, ...times]) {
            const run = await at(runId, ms)
            const isLater = ({ metadata }: RecordedEvent) => metadata.occurredAt > time(ms)
            const firstLater = lifecycle.findIndex(isLater)
            const length = firstLater === -1 ? lifecycle.length : firstLater
            expect(run === undefined ? 0 : run.revision + 1).toBe(length)
            if (run === undefined) continue
            // A summary at the end may name any time.
            if (run.endedAt === null && !bodies.some(({ type }) => type === 'TelemetrySummarised')) {
              expect(Date.parse(run.lastHeartbeatAt ?? run.requestedAt)).toBeLessThanOrEqual(Date.parse(time(ms)))
            }
            // Without heartbeats it is exactly what the run's stream gave then.
            const heartbeats = await collect(world.store.readStream(telemetryStream(runId)))
            if (heartbeats.every(isLater)) expect(withoutMoment(run)).toEqual(foldOf(lifecycle.slice(0, length)))
          }
        },
      ),
      { numRuns: 8 },
    )
  })

  it('[R24] in a history whose times grow it is what the projection showed then', async () => {
    const template = newRunId()
    await fc.assert(
      fc.asyncProperty(historyOf(template), async (bodies) => {
        const runId = newRunId()
        await write(
          runId,
          ...ofTemplate(bodies, template, runId).map((body, i) => [i * 1_000, body] as [number, RunEventBody]),
        )
        const history = await historyIn(runId)
        for (const [index, { metadata }] of history.entries()) {
          const expected = foldOf(history.slice(0, index + 1))
          for (const later of [0, 999]) {
            const run = await at(runId, index * 1_000 + later)
            expect(run && withoutMoment(run)).toEqual(expected)
          }
          expect(metadata.occurredAt).toBe(time(index * 1_000))
        }
      }),
      { numRuns: 5 },
    )
  })
})
