import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type Attempt, createAuditLog } from '../../../src/control/audit-log.ts'
import { createAuditSpool, keepFlushing } from '../../../src/control/audit-spool.ts'
import type { RecordedEvent } from '../../../src/domain/event.ts'
import { type EventStore, StoreUnavailable } from '../../../src/event-store/event-store.ts'
import { type ControlWorld, openControlWorld } from '../../support/control-world.ts'
import { newRunId } from '../../support/projection-world.ts'
import { user } from '../../support/run-events.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

let world: ControlWorld
let directory: ReturnType<typeof makeTemporaryDirectory>
/** Types of events that the store cannot be reached for. */
let unreachable: string[]
beforeEach(async () => {
  world = await openControlWorld()
  directory = makeTemporaryDirectory()
  unreachable = []
})
afterEach(async () => {
  await world.close()
  directory.remove()
})

const context = { actor: user, correlationId: 'test' }
const attemptOn = (runId: string): Attempt => ({ action: 'killRun', target: runId, reason: 'it hangs', details: {} })
const spoolPath = () => join(directory.path, 'spool.jsonl')

function open() {
  const followed: number[] = []
  const spool = createAuditSpool(spoolPath(), world.log)
  const store: EventStore = {
    ...world.store,
    async append(stream, events, expected) {
      if (events.some(({ type }) => unreachable.includes(type))) throw new StoreUnavailable('away')
      return world.store.append(stream, events, expected)
    },
  }
  const audit = createAuditLog(
    store,
    spool,
    () => new Date(),
    async (position) => void followed.push(position),
  )
  return { audit, spool, followed }
}

const dataOf = (event: RecordedEvent | undefined) => (event?.data ?? {}) as Record<string, string>

/** What the store has of the run's audit, in a few words. */
const said = async (runId: string) =>
  (await world.eventsOf(`audit-${runId.slice(4)}`)).map(({ data }: RecordedEvent) => {
    const { decision, outcome } = data as { decision?: string; outcome?: string }
    return decision ?? outcome
  })

it('[R20] the attempt is in the store before anything is done, its outcome after, under one id', async () => {
  const { audit, followed } = open()
  const runId = newRunId()
  let before: unknown
  const result = await audit.allowed(context, attemptOn(runId), async () => {
    before = await said(runId)
    return { result: 7, outcome: 'ACCEPTED', detail: 'done' }
  })
  expect(result).toBe(7)
  expect(before).toEqual(['allowed'])
  const [attempted, completed] = await world.eventsOf(`audit-${runId.slice(4)}`)
  expect(attempted).toMatchObject({ type: 'ActionAttempted', metadata: context, data: { reason: 'it hangs' } })
  expect(completed).toMatchObject({ type: 'ActionCompleted', data: { outcome: 'ACCEPTED', detail: 'done' } })
  expect(dataOf(completed).attemptId).toBe(dataOf(attempted).attemptId)
  expect(followed).toEqual([completed?.position])
})

it('[R20] an act that throws is recorded as failed, and goes on being thrown', async () => {
  const { audit } = open()
  const runId = newRunId()
  const failing = audit.allowed(context, attemptOn(runId), () => Promise.reject(new Error('broken '.repeat(1_000))))
  await expect(failing).rejects.toThrow('broken')
  const away = audit.allowed(context, attemptOn(runId), () => Promise.reject(new StoreUnavailable('away')))
  await expect(away).rejects.toThrow(StoreUnavailable)
  expect(await said(runId)).toEqual(['allowed', 'FAILED', 'allowed', 'STORE_UNAVAILABLE'])
})

it('[R20] an attempt that cannot be recorded is not made; that it was refused is spooled, and later in the store once', async () => {
  const { audit, spool } = open()
  const runId = newRunId()
  unreachable = ['ActionAttempted']
  let acted = false
  const refused = audit.allowed(context, attemptOn(runId), async () => {
    acted = true
    return { result: 1, outcome: 'ACCEPTED', detail: '' }
  })
  await expect(refused).rejects.toThrow(StoreUnavailable)
  expect(acted).toBe(false)
  expect(await said(runId)).toEqual([])
  unreachable = []
  await spool.flush(world.store)
  await spool.flush(world.store)
  expect(await said(runId)).toEqual(['denied'])
})

it('[R20] an outcome that cannot be recorded changes no answer; it is spooled, and later in the store once', async () => {
  const { audit } = open()
  const runId = newRunId()
  unreachable = ['ActionCompleted']
  const result = await audit.allowed(context, attemptOn(runId), async () => ({ result: 7, outcome: 'OK', detail: '' }))
  expect(result).toBe(7)
  expect(await said(runId)).toEqual(['allowed'])
  // In another process, as after a crash.
  const next = createAuditSpool(spoolPath(), world.log)
  world.begin((signal) => keepFlushing(next, world.store, signal))
  await world.until(() => !existsSync(spoolPath()), 'the spool to be flushed')
  expect(await said(runId)).toEqual(['allowed', 'OK'])
})

it('[R20] while the store is away every refusal is kept; once it is back each of them is there once, in order', async () => {
  const { audit, spool } = open()
  const runId = newRunId()
  world.begin((signal) => keepFlushing(spool, world.store, signal))
  await world.goAway()
  for (const n of [1, 2, 3]) await audit.denied(context, attemptOn(runId), `refusal ${n}`)
  await world.comeBack()
  await world.until(() => !existsSync(spoolPath()), 'the spool to be flushed')
  const why = (await world.eventsOf(`audit-${runId.slice(4)}`)).map(({ data }) => (data as { why: string }).why)
  expect(why).toEqual(['refusal 1', 'refusal 2', 'refusal 3'])
})

it('[R20] what is too long to be used is recorded all the same, cut; what is no run id stands with all that are none', async () => {
  const { audit } = open()
  const long = 'x'.repeat(10_000)
  await audit.denied(context, { ...attemptOn(long), reason: long }, long)
  const [recorded] = await world.eventsOf('audit-none')
  const { target, reason, why } = dataOf(recorded)
  expect([target?.length, reason?.length, why?.length]).toEqual([200, 2_000, 1_000])
})
