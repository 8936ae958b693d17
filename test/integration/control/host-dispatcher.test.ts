import { afterEach, beforeEach, expect, it } from 'vitest'
import { execute } from '../../../src/control/execute.ts'
import { createHostDispatcher } from '../../../src/control/host-dispatcher.ts'
import { runStream } from '../../../src/domain/ids.ts'
import type { RunEventBody } from '../../../src/domain/run-events.ts'
import type { EventStore } from '../../../src/event-store/event-store.ts'
import { aMoment, type ControlWorld, openControlWorld } from '../../support/control-world.ts'
import { newEvent } from '../../support/new-event.ts'
import { newRunId, requestedAs } from '../../support/projection-world.ts'
import { event, killRequested, receipt, requested, requestKill, started, user } from '../../support/run-events.ts'
import { type ScriptedHost, scriptedHost } from '../../support/scripted-host.ts'

let world: ControlWorld
let host: ScriptedHost
beforeEach(async () => {
  world = await openControlWorld()
  host = scriptedHost()
})
afterEach(() => world.close())

/** Kept in memory; `failing`: its disk is full. */
function fakeCheckpoint(position?: number) {
  const checkpoint = {
    position,
    failing: false,
    writes: 0,
    read: async () => checkpoint.position,
    async write(next: number) {
      checkpoint.writes += 1
      if (checkpoint.failing) throw new Error('ENOSPC: no space left on device')
      checkpoint.position = next
    },
  }
  return checkpoint
}

function beginDispatcher(checkpoint = fakeCheckpoint(0), store: EventStore = world.store) {
  const dispatcher = createHostDispatcher(store, host.link, checkpoint, world.log, () => new Date())
  return { dispatcher, checkpoint, stop: world.begin((signal) => dispatcher.run(signal)) }
}

const told = (runId: string, times = 1) =>
  world.until(() => {
    const wishes = host.wanted.filter((run) => run.runId === runId)
    return wishes.length >= times && wishes
  }, `the host to be told ${times} times about ${runId}`)

const context = { actor: user, correlationId: 'test' }

const cleaned: RunEventBody[] = [
  event('ProcessExited', { status: 0, at: '2026-01-01T00:00:05.000Z' }),
  event('RunCleaned', { failedSteps: [] }),
]

it('[R12] tells the host what a requested run is, its place in the queue, and which fact numbers are taken', async () => {
  beginDispatcher()
  const position = await world.append(newRunId(), requestedAs(newRunId()))
  const runId = newRunId()
  const order = await world.append(runId, requested({ runId, labels: { a: 'b' } }))
  expect(order).toBe(position + 1)
  const [wish] = await told(runId)
  expect(wish).toMatchObject({
    runId,
    order,
    work: { kind: 'launch', launch: { command: ['sleep', '1'] } },
    kill: null,
    leftovers: { graceMs: 3_000, proofDeadlineMs: 5_000 },
    factSequence: 0,
  })
})

it('[R1] a kill reaches the host as the strongest that was asked for', async () => {
  beginDispatcher()
  const runId = await world.requestRun()
  await told(runId)
  for (const kind of ['graceful', 'force', 'emergency'] as const) {
    await world.append(runId, killRequested(kind))
    await world.until(() => host.wanted.at(-1)?.kill?.kind === kind, `the ${kind} kill`)
  }
  expect(host.wanted.at(-1)?.kill).toMatchObject({ graceMs: 0, proofDeadlineMs: 5_000 })
})

it('[R14] numbers go on above facts and heartbeats that the store has', async () => {
  const runId = await world.requestRun()
  const fact = (sequence: number) => ({ metadata: { fact: { host: host.link.hostId, sequence } } })
  const placed = (body: RunEventBody, sequence: number) => {
    const made = world.envelope(body, 1)
    return { ...made, metadata: { ...made.metadata, ...fact(sequence).metadata } }
  }
  await world.appendTo(runStream(runId), [placed(started(), 1)])
  await world.appendTo(`telemetry-${runId.slice(4)}`, [placed(event('HeartbeatRecorded', {}), 7)])
  beginDispatcher()
  expect((await told(runId))[0]?.factSequence).toBe(7)
})

it('[R1] a kill that another control process recorded in the same store reaches this host', async () => {
  const runId = await world.requestRun()
  beginDispatcher()
  await told(runId)
  await execute(world.otherStore(), context, runId, requestKill('force'), () => new Date())
  await world.until(() => host.wanted.at(-1)?.kill?.kind === 'force', 'the kill')
})

it('[R14] a restart from an older checkpoint tells again what is still to be done, and nothing else', async () => {
  const [live, ended, killed] = await Promise.all([world.requestRun(), world.requestRun(), world.requestRun()])
  await world.append(ended, event('RunLost', { receipt: { ...receipt(), runId: ended } }), ...cleaned)
  await world.append(killed, killRequested('force'))
  const first = beginDispatcher()
  await Promise.all([told(live), told(killed)])
  await first.stop()
  const before = host.wanted.length
  beginDispatcher(fakeCheckpoint(0))
  await told(live, 2)
  await told(killed, 2)
  expect(host.wanted.slice(before).find(({ runId }) => runId === killed)?.kill?.kind).toBe('force')
  expect(host.wanted.map(({ runId }) => runId)).not.toContain(ended)
})

it('[R14] runs that the host has on its disk come first, and are told even when the checkpoint is past them', async () => {
  const known = await world.requestRun()
  await world.append(known, killRequested('force'))
  host.script.known = [known]
  const { dispatcher } = beginDispatcher(fakeCheckpoint(await world.store.head()))
  const [wish] = await told(known)
  expect(wish?.kill?.kind).toBe('force')
  await world.until(() => dispatcher.reconciled, 'the host to be reconciled')
})

it('[R11] tells of a kill at once, but neither of a run that waits for its turn nor of another host’s', async () => {
  const dispatcher = createHostDispatcher(world.store, host.link, fakeCheckpoint(0), world.log, () => new Date())
  const [known, waiting, foreign] = [newRunId(), newRunId(), newRunId()]
  host.script.known = [known, foreign]
  const order = await world.append(known, requestedAs(known))
  await world.append(waiting, requestedAs(waiting))
  await world.append(foreign, requested({ runId: foreign, host: 'host_ffffffffffff' }))
  for (const runId of [known, waiting, foreign]) {
    const killed = await execute(world.store, context, runId, requestKill('force'), () => new Date())
    if (!killed.ok) throw new Error(killed.rejection.code)
    dispatcher.tellOfKill(killed)
  }
  await dispatcher.settle()
  expect(host.wanted).toMatchObject([{ runId: known, order, kill: { kind: 'force' } }])
})

it('[R11] a kill that the host could not be told of at once is told by its event', async () => {
  const runId = await world.requestRun()
  const { dispatcher } = beginDispatcher()
  await told(runId)
  host.script.known = [runId]
  host.script.beforeWant = () => Promise.reject(new Error('EIO'))
  const killed = await execute(world.store, context, runId, requestKill('force'), () => new Date())
  if (!killed.ok) throw new Error(killed.rejection.code)
  dispatcher.tellOfKill(killed)
  await dispatcher.settle()
  expect(world.lines).toContain('warn: the host could not be told of a kill at once; the event tells it')
  host.script.beforeWant = async () => {}
  await world.until(() => host.wanted.at(-1)?.kill?.kind === 'force', 'the host to be told')
})

it('leaves runs of other hosts alone', async () => {
  beginDispatcher()
  const foreign = newRunId()
  await world.append(foreign, requested({ runId: foreign, host: 'host_ffffffffffff' }))
  const own = await world.requestRun()
  await told(own)
  expect(host.wanted.map(({ runId }) => runId)).toEqual([own])
})

it('a run that the host cannot take delays no other, and is tried again until it can', async () => {
  const unlucky = await world.requestRun()
  let full = true
  let tries = 0
  host.script.beforeWant = async ({ runId }) => {
    if (runId !== unlucky) return
    tries += 1
    if (full) throw new Error('ENOSPC')
  }
  beginDispatcher()
  await told(await world.requestRun())
  await told(await world.requestRun())
  await world.until(() => tries >= 3, 'more tries')
  full = false
  await told(unlucky)
})

it('[R14] the checkpoint never passes a run that the host has not been told about', async () => {
  const checkpoint = fakeCheckpoint(0)
  let full = true
  const { stop } = beginDispatcher(checkpoint)
  await told(await world.requestRun())
  const before = await world.store.head()
  const unlucky = await world.requestRun()
  host.script.beforeWant = async ({ runId }) => {
    if (full && runId === unlucky) throw new Error('ENOSPC')
  }
  // Checkpoints are due after a second.
  const deadline = Date.now() + 1_300
  while (Date.now() < deadline) await told(await world.requestRun())
  expect(checkpoint.position).toBeLessThanOrEqual(before)
  await stop()
  full = false
  beginDispatcher(checkpoint)
  await told(unlucky)
})

it('[R10] a checkpoint that cannot be written (disk full) holds up no kill', async () => {
  const checkpoint = fakeCheckpoint(0)
  const { dispatcher } = beginDispatcher(checkpoint)
  const runId = await world.requestRun()
  await told(runId)
  checkpoint.failing = true
  while (checkpoint.writes === 0) await told(await world.requestRun())
  await world.append(runId, killRequested('force'))
  await world.until(() => host.wanted.at(-1)?.kill?.kind === 'force', 'the kill', 2_000)
  expect(dispatcher.reconciled).toBe(true)
}, 20_000)

it('[R14] is reconciled only when the host has heard of every run that it knew', async () => {
  const [one, two] = await Promise.all([world.requestRun(), world.requestRun()])
  host.script.known = [one, two]
  let full = true
  host.script.beforeWant = async ({ runId }) => {
    if (full && runId === one) throw new Error('EIO')
  }
  const { dispatcher } = beginDispatcher(fakeCheckpoint(await world.store.head()))
  await told(two)
  await told(await world.requestRun())
  expect(dispatcher.reconciled).toBe(false)
  full = false
  await told(one)
  await world.until(() => dispatcher.reconciled, 'the host to be reconciled')
})

it('[R14] while the store is away nothing is concluded; what was asked for before reaches the host after', async () => {
  const runId = await world.requestRun()
  beginDispatcher()
  await told(runId)
  await world.append(runId, killRequested('graceful'))
  await world.goAway()
  await world.comeBack()
  await world.append(runId, killRequested('force'))
  await world.until(() => host.wanted.at(-1)?.kill?.kind === 'force', 'the kill')
})

it('an event that cannot be read keeps nobody but its own run from the host', async () => {
  const poisoned = await world.requestRun()
  beginDispatcher()
  await told(poisoned)
  await world.appendTo(runStream(poisoned), [{ ...newEvent({ kind: 'nonsense' }), type: 'KillRequested' }])
  await told(await world.requestRun())
  await aMoment()
  expect(host.wanted.filter(({ runId }) => runId === poisoned)).toHaveLength(1)
})
