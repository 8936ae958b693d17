import { afterEach, beforeEach, expect, it } from 'vitest'
import { createFactRecorder } from '../../../src/control/fact-recorder.ts'
import { type ReplayedRun, runAt } from '../../../src/control/queries/run-at.ts'
import { findRun } from '../../../src/control/queries/runs.ts'
import { keepRetiring } from '../../../src/control/retention.ts'
import { canaryStream } from '../../../src/domain/canary-events.ts'
import type { FactBody } from '../../../src/domain/host-link.ts'
import { type RunId, telemetryStream } from '../../../src/domain/ids.ts'
import type { EventStore, Retention } from '../../../src/event-store/event-store.ts'
import { HeartbeatMemory } from '../../../src/host/heartbeat-memory.ts'
import { type ControlWorld, openControlWorld } from '../../support/control-world.ts'
import { newEvents } from '../../support/new-event.ts'
import { caughtUp, dump } from '../../support/projection-world.ts'
import { event, exited, receipt, started, treeGone, turn } from '../../support/run-events.ts'
import { type ScriptedHost, scriptedHost } from '../../support/scripted-host.ts'

let world: ControlWorld
let host: ScriptedHost
beforeEach(async () => {
  world = await openControlWorld()
  host = scriptedHost()
})
afterEach(() => world.close())

type Heartbeat = Extract<FactBody, { type: 'HeartbeatRecorded' }>
const heartbeat = (index: number): Heartbeat => ({
  type: 'HeartbeatRecorded',
  data: {
    ...{ progressPercent: index, lastOutput: `line ${index}`, outputBytes: 10 * index, cpuMs: index, processes: 3 },
    ...{ rssBytes: 9_000 - index ** 2, openFiles: 7 + (index % 5), ioReadBytes: 2 * index, ioWriteBytes: index },
    usage: index === 3 ? { inputTokens: 5 } : { outputTokens: index },
    ...(index % 4 === 0 && { notices: [{ code: 'NOTE', detail: `at ${index}` }] }),
  },
})

/** A run from its start to its end, as a host tells of it, with what its host sums up. */
async function live(runId: RunId, heartbeats: number, store: EventStore, retention: Retention): Promise<void> {
  const recorder = createFactRecorder(store, host.link, world.log, retention)
  world.begin((signal) => recorder.run(signal))
  const beats = Array.from({ length: heartbeats }, (_, index) => heartbeat(index + 1))
  const facts = host.facts(runId, started({ limits: notEnforced }), turn(1), ...beats, turn(2), exited(0) as FactBody)
  host.offer(...facts)
  const memory = new HeartbeatMemory()
  for (const { body, occurredAt } of facts) if (body.type === 'HeartbeatRecorded') memory.fold(body, occurredAt)
  const { processes, rssBytes, openFiles, notices, ...last } = beats.at(-1)?.data ?? {}
  const lastHeartbeatAt = facts.findLast(({ body }) => body.type === 'HeartbeatRecorded')?.occurredAt
  const usage = { inputTokens: 5, outputTokens: heartbeats }
  const summary = event('TelemetrySummarised', {
    ...last,
    ...memory.summary(),
    ...(lastHeartbeatAt !== undefined && { lastHeartbeatAt, usage }),
  })
  host.offer(...host.facts(runId, summary, treeGone({ ...receipt(), runId })))
  const all = facts.length + 2
  await world.until(() => host.acknowledged.get(runId)?.at(-1) === all, 'the facts to be recorded')
}

const notEnforced = [
  { limit: 'cpu' as const, requested: 50, enforcedBy: 'none' as const, detail: 'no cgroup controller is there' },
]

/** Whoever takes these two for the same has not looked at the moment. */
const stateOf = ({ asOf: _, heartbeatsRetired: __, ...state }: ReplayedRun) => state

it('[R41] rows are the same whether retention has removed some heartbeats, all, or none', async () => {
  const projector = world.project()
  const runIds = [await world.requestRun(), await world.requestRun(), await world.requestRun()] as const
  for (const [index, runId] of runIds.entries())
    await live(runId, [12, 30, 0][index] ?? 0, world.store, { maxCount: 5 })
  await caughtUp(world, projector)
  const before = await dump(world.pool)
  expect(await projector.rebuild(null)).not.toHaveLength(0)
  expect(await dump(world.pool)).toEqual(before)

  expect(await world.store.retire()).toBe(7 + 25)
  expect((await world.telemetry(runIds[0])).map(({ revision }) => revision)).toEqual([7, 8, 9, 10, 11])
  await projector.rebuild(null)
  expect(await dump(world.pool)).toEqual(before)

  for (const runId of runIds) await world.store.setRetention(telemetryStream(runId), { maxAgeMs: 1 })
  expect(await world.store.retire()).toBe(10)
  expect(await world.telemetry(runIds[1])).toEqual([])
  await projector.rebuild(null)
  expect(await dump(world.pool)).toEqual(before)
  expect((await world.lifecycle(runIds[1])).map(({ type }) => type)).toEqual([
    ...['RunRequested', 'RunStarted', 'TurnCompleted', 'TurnCompleted', 'ProcessExited'],
    ...['TelemetrySummarised', 'RunCompleted'],
  ])
})

it('[R24] a replay of a moment whose heartbeats are gone says so; that of the end has everything', async () => {
  const projector = world.project()
  const runId = await world.requestRun()
  await live(runId, 8, world.store, { maxCount: 3 })
  await caughtUp(world, projector)
  const at = async (revision: number) => {
    const run = await runAt(world.store, runId, { revision }, new Date())
    if (run === undefined) throw new Error(`no revision ${revision}`)
    return run
  }
  const [turned, end] = [3, 6]
  expect(await at(turned)).toMatchObject({ progressPercent: 8, heartbeatsRetired: false })
  await world.store.retire()
  expect(await at(turned)).toMatchObject({ progressPercent: 8, heartbeatsRetired: true })
  await world.store.setRetention(telemetryStream(runId), { maxAgeMs: 1 })
  await world.store.retire()
  expect(await at(turned)).toMatchObject({ progressPercent: null, heartbeatsRetired: true })
  expect(await at(end)).toMatchObject({ progressPercent: 8, peakRssBytes: 8_999, heartbeatsRetired: false })
  const row = await findRun(world.pool, runId)
  expect(JSON.parse(JSON.stringify(stateOf(await at(end))))).toEqual(row)

  const silent = await world.requestRun()
  expect(await runAt(world.store, silent, { revision: 0 }, new Date())).toMatchObject({ heartbeatsRetired: false })
})

it('[R14] a summary is recorded only once its heartbeats are under retention: a crash in between leaves none', async () => {
  const runId = await world.requestRun()
  const calls: string[] = []
  let failures = 2
  const store: EventStore = {
    ...world.store,
    append(stream, events, expected) {
      calls.push(...events.map(({ type }) => type))
      return world.store.append(stream, events, expected)
    },
    async setRetention(stream, retention) {
      calls.push(`retention of ${stream}`)
      if (failures-- > 0) throw new Error('a crash')
      return world.store.setRetention(stream, retention)
    },
  }
  await live(runId, 2, store, { maxCount: 1 })
  const retained = `retention of ${telemetryStream(runId)}`
  expect(calls.filter((call) => call === retained)).toHaveLength(3)
  expect(calls.indexOf('TelemetrySummarised')).toBeGreaterThan(calls.lastIndexOf(retained))
  await world.store.retire()
  expect(await world.telemetry(runId)).toHaveLength(1)
})

it('[R41] the control plane removes what is not kept, of canaries too, and what lives keeps all', async () => {
  const runId = await world.requestRun()
  await world.append(runId, started(), ...Array.from({ length: 20 }, (_, index) => heartbeat(index)))
  await world.store.append(canaryStream, newEvents(6_010), 'any')
  const stop = world.begin((signal) => keepRetiring(world.store, world.log, signal))
  await world.until(async () => (await world.eventsOf(canaryStream)).length === 6_000, 'old canaries to go')
  await stop()
  expect((await world.eventsOf(canaryStream)).at(-1)?.revision).toBe(6_009)
  expect(await world.telemetry(runId)).toHaveLength(20)
  expect(world.lines).toContain('info: events were removed: retention does not keep them')
})
