import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createAuditSpool } from '../../../src/control/audit-spool.ts'
import type { EmergencyKillAnswer, RequestContext } from '../../../src/control/control.ts'
import { type ControlDeps, createControl, type RunningControl } from '../../../src/control/create-control.ts'
import { owner } from '../../../src/domain/event.ts'
import type { FactBody, RunEnd } from '../../../src/domain/host-link.ts'
import type { RunId } from '../../../src/domain/ids.ts'
import { StoreUnavailable } from '../../../src/event-store/event-store.ts'
import { type ControlWorld, openControlWorld } from '../../support/control-world.ts'
import { newRunId } from '../../support/projection-world.ts'
import {
  emergencyRequested,
  event,
  killRequested,
  receipt,
  sigkillSent,
  sigtermSent,
  started,
  unproven,
  user,
} from '../../support/run-events.ts'
import { type ScriptedHost, scriptedHost } from '../../support/scripted-host.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

let world: ControlWorld
let host: ScriptedHost
let directory: ReturnType<typeof makeTemporaryDirectory>
let control: RunningControl

beforeEach(async () => {
  world = await openControlWorld()
  host = scriptedHost()
  directory = makeTemporaryDirectory()
  control = create()
  await control.start()
})
afterEach(async () => {
  await control.close()
  await world.close()
  directory.remove()
})

const context: RequestContext = { actor: owner, correlationId: 'night' }
const spoolPath = () => join(directory.path, 'spool.jsonl')

function create(changes: Partial<ControlDeps> = {}): RunningControl {
  return createControl({
    store: world.store,
    projector: world.project(),
    pool: world.pool,
    host: host.link,
    checkpoint: { read: async () => 0, write: async () => {} },
    auditSpool: createAuditSpool(spoolPath(), world.log),
    log: world.log,
    now: () => new Date(),
    checkIntervalMs: 60_000,
    storeAway: () => undefined,
    ...changes,
  } as ControlDeps)
}

const lives: RunEnd = { over: false, receipt: null, cleanup: 'NONE' }
const gone = (runId: RunId): RunEnd => ({ over: true, receipt: receipt({ runId }), cleanup: 'RUNNING' })
const cleaned = (runId: RunId): RunEnd => ({ ...gone(runId), cleanup: 'DONE' })

const offer = (runId: RunId, ...bodies: object[]) => host.offer(...host.facts(runId, ...(bodies as FactBody[])))

/** A run that the store and the host know. */
async function liveRun(): Promise<RunId> {
  const runId = await world.requestRun()
  offer(runId, started())
  await world.until(async () => (await world.lifecycle(runId)).length === 2, 'the run to have started')
  host.setEnd(runId, lives)
  return runId
}

const spooled = (path = spoolPath()) =>
  existsSync(path)
    ? readFileSync(path, 'utf8')
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line).event as { type: string; data: Record<string, string> })
    : []

const said = (events: { data: unknown }[]) =>
  events.map(({ data }) => {
    const { decision, outcome } = data as Record<string, string>
    return decision ?? outcome
  })
const auditOf = async (runId: RunId) => said(await world.eventsOf(`audit-${runId.slice(4)}`))

async function kill(runId: RunId, input: object = {}, by = control): Promise<EmergencyKillAnswer> {
  const answer = await by.killRun(context, { runId, emergency: true, ...input })
  if (answer.type !== 'EmergencyKillAnswer') throw new Error(JSON.stringify(answer))
  return answer
}

it('[R4] [R20] [M1] works while the store is away: recorded on the disk first, then killed, and in the store later', async () => {
  const runId = await liveRun()
  await world.goAway()
  let before: unknown
  host.script.beforeEmergency = async () => {
    before = said(spooled())
    host.setEnd(runId, cleaned(runId))
  }
  // The host accepts it as a run that lives.
  const asking = host.link.emergencyKill
  host.link.emergencyKill = async (request) => {
    await asking(request)
    return 'accepted'
  }
  const answer = await kill(runId, { reason: 'it burns', idempotencyKey: 'k' })
  expect(before).toEqual(['allowed'])
  expect(answer).toMatchObject({
    ...{ success: true, runId, joined: false, waitExpired: false, cleanupStatus: 'DONE' },
    ...{ killedAt: expect.any(String), receipt: { proven: true } },
    message: expect.stringContaining('follows when the store is back'),
  })

  const asked = { requestedBy: owner, correlationId: 'night', reason: 'it burns', idempotencyKey: 'k' }
  offer(runId, emergencyRequested(asked), sigkillSent(), { type: 'TreeGone', data: { receipt: receipt({ runId }) } })
  await world.comeBack()
  const events = await world.until(async () => {
    const found = await world.lifecycle(runId).catch(() => [])
    return found.length === 5 && found
  }, 'the record to follow')
  expect(events.map(({ type }) => type).slice(2)).toEqual(['KillRequested', 'SigkillSent', 'RunKilled'])
  expect(events[2]?.metadata).toMatchObject({ actor: owner, correlationId: 'night' })
  await world.until(async () => (await auditOf(runId)).length === 2, 'the audit to follow')
  expect(await auditOf(runId)).toEqual(['allowed', 'ACCEPTED'])
  await world.until(() => host.wanted.at(-1)?.kill?.kind === 'emergency', 'the host to be told what it knows')
  // A retry with its key gets the first result.
  const again = await control.killRun(context, { runId, emergency: true, idempotencyKey: 'k', waitFor: 'KILLED' })
  expect(again).toMatchObject({ type: 'KillRunAnswer', joined: true, success: true })
})

it('[R14] works on a store that hangs, again and again, while the spool cannot be flushed', async () => {
  const runId = await liveRun()
  const other = await liveRun()
  const hanging = new Promise<never>(() => {})
  const hungSpool = join(directory.path, 'hung.jsonl')
  const hung = create({
    auditSpool: createAuditSpool(hungSpool, world.log),
    store: {
      ...world.store,
      append: () => hanging,
      // biome-ignore lint/correctness/useYield: it never comes to it
      async *readStream() {
        await hanging
      },
    },
  })
  await hung.start()
  host.setEnd(runId, lives)
  const first = kill(runId, {}, hung)
  await world.until(() => host.emergencies.length === 1, 'the host to be asked')
  host.setEnd(runId, cleaned(runId))
  expect(await first).toMatchObject({ success: true })
  const second = kill(other, {}, hung)
  await world.until(() => host.emergencies.length === 2, 'the host to be asked again')
  host.setEnd(other, cleaned(other))
  expect(await second).toMatchObject({ success: true })
  expect(said(spooled(hungSpool))).toEqual(['allowed', 'ACCEPTED', 'allowed', 'ACCEPTED'])
  // Its loops wait for the store for ever; nothing of it is left open.
  void hung.close()
}, 60_000)

it('[R14] works on a store that goes away between the attempt and the request', async () => {
  const runId = await liveRun()
  const fragile = create({
    store: {
      ...world.store,
      async append(stream, events, expected) {
        if (events.some(({ type }) => type === 'KillRequested')) throw new StoreUnavailable('The cable was pulled.')
        return world.store.append(stream, events, expected)
      },
    },
  })
  await fragile.start()
  expect(await kill(runId, { waitFor: 'ACCEPTED' }, fragile)).toMatchObject({ success: false, waitExpired: false })
  expect(host.emergencies).toMatchObject([{ runId, requestedBy: owner }])
  expect(await auditOf(runId)).toEqual(['allowed', 'ACCEPTED'])
  await fragile.close()
})

it('[R14] works before the store was ever reached', async () => {
  const runId = await liveRun()
  const unopened = create({ storeAway: () => 'It has not been reached yet.' })
  expect(await kill(runId, { waitFor: 'ACCEPTED' }, unopened)).toMatchObject({ joined: false })
  expect(await kill(runId, { waitFor: 'ACCEPTED' }, unopened)).toMatchObject({ joined: true })
  await unopened.close()
})

it('[R20] is for the owner of the data directory only, and for emergencies only', async () => {
  const runId = await liveRun()
  await world.goAway()
  const stranger: RequestContext = { actor: user, correlationId: 'night' }
  expect(await control.killRun(stranger, { runId, emergency: true })).toMatchObject({ type: 'StoreUnavailable' })
  const forced = await control.killRun(context, { runId, force: true })
  expect(forced).toMatchObject({ type: 'StoreUnavailable', message: expect.stringContaining('--emergency') })
  expect(host.emergencies).toEqual([])
  expect(said(spooled())).toEqual(['denied', 'denied'])
  await world.comeBack()
})

it('[R9] finds no run that its host does not have', async () => {
  await world.goAway()
  const runId = newRunId()
  expect(await control.killRun(context, { runId, emergency: true })).toMatchObject({ type: 'RunNotFound', runId })
  expect(await control.killRun(context, { runId: 'x', emergency: true })).toMatchObject({ type: 'RunNotFound' })
  expect(said(spooled())).toEqual(['allowed', 'RunNotFound', 'allowed', 'RunNotFound'])
  await world.comeBack()
})

it('[R4] waits for as much as was asked for, by what the host says, and says what goes on', async () => {
  const runId = await liveRun()
  await world.goAway()
  expect(await kill(runId, { timeoutMs: 30 })).toMatchObject({
    ...{ success: false, waitExpired: true, killedAt: null, receipt: null },
    message: expect.stringContaining('goes on'),
  })
  const client = new AbortController()
  const left = control.killRun(context, { runId, emergency: true }, client.signal)
  client.abort()
  expect(await left).toMatchObject({ success: false, waitExpired: true, joined: true })
  host.setEnd(runId, gone(runId))
  expect(await kill(runId, { waitFor: 'KILLED' })).toMatchObject({
    ...{ success: true, waitExpired: false, joined: true, cleanupStatus: 'RUNNING' },
  })
  expect(await kill(runId, { timeoutMs: 30 })).toMatchObject({ success: true, waitExpired: true })

  const doubtful = newRunId()
  host.setEnd(doubtful, { over: false, receipt: unproven({ runId: doubtful }), cleanup: 'NONE' })
  expect(await kill(doubtful)).toMatchObject({
    ...{ success: false, waitExpired: false, killedAt: null, receipt: { proven: false } },
    message: expect.stringContaining('NOT PROVEN DEAD'),
  })
  const unstarted = newRunId()
  host.setEnd(unstarted, { over: true, receipt: null, cleanup: 'DONE' })
  expect(await kill(unstarted)).toMatchObject({ success: false, receipt: null, waitExpired: false })
  await world.comeBack()
})

it('[R41] meets what the store knew already: a graceful kill under way, and a run that had ended', async () => {
  const [killing, ended] = [await liveRun(), await liveRun()]
  await world.append(killing, killRequested('graceful'))
  offer(killing, sigtermSent(), emergencyRequested(), sigkillSent())
  offer(killing, { type: 'TreeGone', data: { receipt: receipt({ runId: killing }) } })
  await world.append(ended, event('RunCompleted', { rootExit: null, receipt: receipt({ runId: ended }) }))
  offer(ended, emergencyRequested())
  const types = async (runId: RunId) => (await world.lifecycle(runId)).map(({ type }) => type).slice(2)
  await world.until(async () => (await types(killing)).length === 5, 'the facts')
  expect(await types(killing)).toEqual(['KillRequested', 'SigtermSent', 'KillRequested', 'SigkillSent', 'RunKilled'])
  await world.until(async () => (await types(ended)).length === 2, 'the late fact')
  expect(await types(ended)).toEqual(['RunCompleted', 'LateResultObserved'])
})
