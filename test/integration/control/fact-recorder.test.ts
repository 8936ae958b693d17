import { afterEach, beforeEach, expect, it } from 'vitest'
import { createFactRecorder, eventIdOf } from '../../../src/control/fact-recorder.ts'
import { listTimeline } from '../../../src/control/queries/timeline.ts'
import type { FactBody } from '../../../src/domain/host-link.ts'
import { runStream } from '../../../src/domain/ids.ts'
import { type EventStore, StoreUnavailable } from '../../../src/event-store/event-store.ts'
import { type ControlWorld, openControlWorld } from '../../support/control-world.ts'
import { newEvent } from '../../support/new-event.ts'
import { caughtUp, dump, newRunId } from '../../support/projection-world.ts'
import {
  emergencyRequested,
  killRequested,
  phase,
  receipt,
  sigkillSent,
  started,
  treeGone,
  turn,
  user,
} from '../../support/run-events.ts'
import { type ScriptedHost, scriptedHost } from '../../support/scripted-host.ts'

let world: ControlWorld
let host: ScriptedHost
beforeEach(async () => {
  world = await openControlWorld()
  host = scriptedHost()
})
afterEach(() => world.close())

const heartbeat = (progressPercent: number): FactBody => ({ type: 'HeartbeatRecorded', data: { progressPercent } })
const startedFact = started() as FactBody

function beginRecorder(store: EventStore = world.store) {
  const recorder = createFactRecorder(store, host.link, world.log, { maxCount: 2 })
  return { recorder, stop: world.begin((signal) => recorder.run(signal)) }
}

const acknowledged = (runId: string, sequence: number) =>
  world.until(() => (host.acknowledged.get(runId)?.at(-1) ?? 0) >= sequence, `fact ${sequence} to be acknowledged`)

/** The numbers of the facts that became events, in the order of the stream. */
const factsIn = async (events: Promise<{ metadata: { fact?: { sequence: number } } }[]>) =>
  (await events).flatMap(({ metadata }) => metadata.fact?.sequence ?? [])

it('[R41] a fact that is offered again and again is one event, in order, and acknowledged', async () => {
  const runId = await world.requestRun()
  const [one, two, three, four] = host.facts(runId, startedFact, turn(1), turn(2), turn(3))
  if (!one || !two || !three || !four) throw new Error('no facts')
  beginRecorder()
  host.offer(one, two, two)
  host.offer(one, two)
  host.offer(two, three)
  host.offer(one, two, three, four)
  await acknowledged(runId, 4)
  expect(await factsIn(world.lifecycle(runId))).toEqual([1, 2, 3, 4])
  expect((await world.lifecycle(runId)).map(({ type }) => type).slice(1)).toEqual([
    'RunStarted',
    'TurnCompleted',
    'TurnCompleted',
    'TurnCompleted',
  ])
  expect(host.acknowledged.get(runId)).toEqual([2, 2, 3, 4])
})

it('[R14] a fact that is offered again after a restart of the recorder is the event that it was', async () => {
  const runId = await world.requestRun()
  const batch = host.facts(runId, startedFact, heartbeat(10), turn(1), heartbeat(20))
  host.offer(...batch)
  const first = beginRecorder()
  await acknowledged(runId, 4)
  await first.stop()
  const before = await world.lifecycle(runId)
  beginRecorder()
  host.offer(...host.facts(runId, turn(2)))
  await acknowledged(runId, 5)
  expect((await world.lifecycle(runId)).slice(0, before.length)).toEqual(before)
  expect(await factsIn(world.lifecycle(runId))).toEqual([1, 3, 5])
  expect(await factsIn(world.telemetry(runId))).toEqual([2, 4])
})

it('event ids follow from host, run and number alone', () => {
  const fact = { host: 'host_0123456789ab', runId: 'run_0123456789ab', sequence: 7 }
  expect(eventIdOf(fact)).toBe(eventIdOf({ ...fact }))
  expect(eventIdOf(fact)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  const others = [{ sequence: 8 }, { runId: 'run_0123456789ac' }, { host: 'host_0123456789ac' }]
  const ids = others.map((other) => eventIdOf({ ...fact, ...other }))
  expect(new Set([eventIdOf(fact), ...ids]).size).toBe(4)
})

it('[R41] two recorders that get the same facts in different batches record each of them once', async () => {
  const runIds = await Promise.all([world.requestRun(), world.requestRun(), world.requestRun()])
  const other = scriptedHost()
  const recorders = [
    createFactRecorder(world.store, host.link, world.log, {}),
    createFactRecorder(world.otherStore(), other.link, world.log, {}),
  ]
  for (const runId of runIds) {
    const turns = Array.from({ length: 30 }, (_, index) => [turn(index + 1) as FactBody, heartbeat(index)]).flat()
    const facts = host.facts(runId, startedFact, ...turns)
    for (let from = 0; from < facts.length; from += 4) host.offer(...facts.slice(from, from + 4))
    for (let from = 0; from < facts.length; from += 7) other.offer(...facts.slice(from, from + 7))
  }
  for (const recorder of recorders) world.begin((signal) => recorder.run(signal))
  for (const runId of runIds) {
    await acknowledged(runId, 61)
    await world.until(() => other.acknowledged.get(runId)?.at(-1) === 61, 'the other recorder')
    const lifecycle = await factsIn(world.lifecycle(runId))
    const telemetry = await factsIn(world.telemetry(runId))
    expect(lifecycle).toEqual([1, ...Array.from({ length: 30 }, (_, index) => 2 * index + 2)])
    expect(telemetry).toEqual(Array.from({ length: 30 }, (_, index) => 2 * index + 3))
  }
  expect(recorders.flatMap((recorder) => recorder.stuck())).toEqual([])
})

it('[R41] facts go on when another writer requests a kill in between, and mean then what they mean after it', async () => {
  const runId = await world.requestRun()
  beginRecorder()
  host.offer(...host.facts(runId, startedFact))
  await acknowledged(runId, 1)
  await world.append(runId, killRequested('force'))
  const proof = { ...receipt(), runId }
  host.offer(...host.facts(runId, sigkillSent() as FactBody, treeGone(proof)))
  await acknowledged(runId, 3)
  expect((await world.lifecycle(runId)).map(({ type }) => type)).toEqual([
    'RunRequested',
    'RunStarted',
    'KillRequested',
    'SigkillSent',
    'RunKilled',
  ])
})

it('[R14] an emergency kill that the host was asked for is the kill of whoever asked, at that time, once', async () => {
  const runId = await world.requestRun()
  const proof = treeGone({ ...receipt(), runId })
  const facts = host.facts(runId, startedFact, emergencyRequested(), sigkillSent() as FactBody, proof)
  beginRecorder()
  host.offer(...facts)
  host.offer(...facts)
  await acknowledged(runId, 4)
  const [, started, killed, signalled, ended, ...more] = await world.lifecycle(runId)
  expect(more).toEqual([])
  expect(killed).toMatchObject({
    type: 'KillRequested',
    data: { kind: 'emergency', reason: 'it hangs', graceMs: 0, proofDeadlineMs: 5_000 },
    metadata: { actor: user, correlationId: 'emergency', occurredAt: facts[1]?.occurredAt, fact: { sequence: 2 } },
  })
  expect(killed?.metadata.causationId).toBeUndefined()
  expect(started?.metadata.actor.kind).toBe('host')
  for (const event of [signalled, ended])
    expect(event?.metadata).toMatchObject({
      ...{ actor: { kind: 'host' }, correlationId: 'emergency', causationId: killed?.metadata.eventId },
    })
  expect([signalled?.type, ended?.type]).toEqual(['SigkillSent', 'RunKilled'])
})

it('[R41] a stream that another writer appends to all the time keeps every fact, in order', async () => {
  const runId = await world.requestRun()
  beginRecorder()
  const turns = host.facts(runId, startedFact, ...Array.from({ length: 40 }, (_, index) => turn(index + 1) as FactBody))
  for (const fact of turns) host.offer(fact)
  for (let count = 0; count < 15; count += 1) await world.append(runId, killRequested('graceful'))
  await acknowledged(runId, 41)
  expect(await factsIn(world.lifecycle(runId))).toEqual(turns.map(({ sequence }) => sequence))
})

it('[R41] heartbeats go to the telemetry stream, those after the end are kept as late results', async () => {
  const runId = await world.requestRun()
  beginRecorder()
  const proof = treeGone({ ...receipt(), runId })
  const exit = { type: 'ProcessExited', data: { status: 0, at: '2026-01-01T00:00:05.000Z' } } as FactBody
  host.offer(...host.facts(runId, startedFact, heartbeat(1), heartbeat(2), exit, proof, heartbeat(3)))
  await acknowledged(runId, 6)
  expect(await factsIn(world.telemetry(runId))).toEqual([2, 3])
  const late = (await world.lifecycle(runId)).at(-1)
  expect(late).toMatchObject({
    type: 'LateResultObserved',
    data: { fact: 'HeartbeatRecorded', data: { progressPercent: 3 }, status: 'COMPLETED' },
  })
})

it('[M8] facts after the end leave every row as it was, and the timeline tells of them as late', async () => {
  const runId = await world.requestRun()
  const projector = world.project()
  beginRecorder()
  const own = { ...receipt(), runId }
  const exit = { type: 'ProcessExited', data: { status: 0, at: '2026-01-01T00:00:05.000Z' } } as FactBody
  const cleaned: FactBody = { type: 'RunCleaned', data: { failedSteps: [] } }
  host.offer(...host.facts(runId, startedFact, heartbeat(1), turn(1), exit, treeGone(own), cleaned))
  await acknowledged(runId, 6)
  await caughtUp(world, projector)
  const before = await dump(world.pool)
  host.offer(...host.facts(runId, exit, turn(9), heartbeat(99), phase('later') as FactBody, treeGone(own), cleaned))
  await acknowledged(runId, 12)
  await caughtUp(world, projector)
  const after = await dump(world.pool)
  expect(after.workflow_processes).toEqual(before.workflow_processes)
  const [run] = (await world.pool.query('SELECT state FROM runs')).rows
  expect(run.state).toMatchObject({ status: 'COMPLETED', turns: 1, progressPercent: 1, lateResults: 6 })
  const { items } = await listTimeline(world.pool, runId, { first: 20 })
  const late = items.slice(-6).map(({ item }) => item.summary.split(': ').at(-1))
  expect(items.slice(-6).every(({ item }) => item.summary.startsWith('late, and changed nothing'))).toBe(true)
  expect(late.slice(0, 4)).toEqual(['root process ended with status 0', 'turn 9 completed', '99 %', 'later'])
})

it('[R14] while the store is away nothing is lost and nothing doubled, and nothing is acknowledged', async () => {
  const runId = await world.requestRun()
  const { recorder } = beginRecorder()
  host.offer(...host.facts(runId, startedFact, heartbeat(1)))
  await acknowledged(runId, 2)
  await world.goAway()
  host.offer(...host.facts(runId, turn(1), heartbeat(2), turn(2)))
  host.offer(...host.facts(runId, turn(3), heartbeat(3)))
  await expect(world.store.head()).rejects.toThrow(StoreUnavailable)
  expect(host.acknowledged.get(runId)).toEqual([2])
  await world.comeBack()
  await acknowledged(runId, 7)
  expect(await factsIn(world.lifecycle(runId))).toEqual([1, 3, 5, 6])
  expect(await factsIn(world.telemetry(runId))).toEqual([2, 4, 7])
  expect(recorder.stuck()).toEqual([])
})

it('a fact of a run that this store has never heard of makes that run stuck, visibly, and no other', async () => {
  const stranger = newRunId()
  const runId = await world.requestRun()
  const { recorder } = beginRecorder()
  host.offer(...host.facts(stranger, startedFact), ...host.facts(runId, startedFact))
  await acknowledged(runId, 1)
  await world.until(() => recorder.stuck().length > 0, 'the stranger to be stuck')
  expect(recorder.stuck()).toEqual([{ runId: stranger, error: expect.stringContaining('never heard of') }])
  host.offer(...host.facts(stranger, turn(1)), ...host.facts(runId, turn(1)))
  await acknowledged(runId, 2)
  expect(host.acknowledged.get(stranger)).toBeUndefined()
  expect(await world.lifecycle(stranger)).toEqual([])
})

it('a stuck run goes on as soon as what stood in its way is gone, from the fact that it stuck at', async () => {
  const runId = await world.requestRun()
  let broken = true
  const { recorder } = beginRecorder({
    ...world.store,
    append: (stream, ...rest) => {
      if (broken && stream === runStream(runId)) throw new Error('deadlock detected')
      return world.store.append(stream, ...rest)
    },
  })
  const [one, two] = host.facts(runId, startedFact, turn(1))
  if (!one || !two) throw new Error('no facts')
  host.offer(one)
  await world.until(() => recorder.stuck().length > 0, 'the run to be stuck')
  broken = false
  // What comes after the fact it stuck at must not overtake it.
  host.offer(two)
  // As a host does now and then with whatever was not acknowledged.
  host.offer(one, two)
  await acknowledged(runId, 2)
  expect(recorder.stuck()).toEqual([])
  expect(await factsIn(world.lifecycle(runId))).toEqual([1, 2])
})

it('a fact that does not fit its schema is not recorded: a stream that cannot be read would stop everybody', async () => {
  const runId = await world.requestRun()
  const { recorder } = beginRecorder()
  host.offer(...host.facts(runId, startedFact))
  host.offer(...host.facts(runId, { type: 'PhaseChanged', data: { phase: '' } }))
  await world.until(() => recorder.stuck().length > 0, 'the run to be stuck')
  expect(recorder.stuck()).toEqual([{ runId, error: expect.stringContaining('PhaseChanged') }])
  expect(await factsIn(world.lifecycle(runId))).toEqual([1])
})

it('an event of a newer version at the end of the stream is passed over, and facts follow it', async () => {
  const runId = await world.requestRun()
  await world.store.append(runStream(runId), [newEvent({ from: 'the future' })], 'any')
  beginRecorder()
  host.offer(...host.facts(runId, startedFact, phase('building') as FactBody))
  await acknowledged(runId, 2)
  expect(await factsIn(world.lifecycle(runId))).toEqual([1, 2])
})
