import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { AuditLog } from '../../../src/control/audit-log.ts'
import { createAuditSpool } from '../../../src/control/audit-spool.ts'
import type { RequestContext } from '../../../src/control/control.ts'
import { type ControlDeps, createControl, type RunningControl } from '../../../src/control/create-control.ts'
import { killRun } from '../../../src/control/kill-run.ts'
import { createRunFeed } from '../../../src/control/run-feed.ts'
import { startRun } from '../../../src/control/start-run.ts'
import type { UseCaseDeps } from '../../../src/control/use-case.ts'
import type { FactBody } from '../../../src/domain/host-link.ts'
import { runStream } from '../../../src/domain/ids.ts'
import type { RunEventBody } from '../../../src/domain/run-events.ts'
import type { EventStore } from '../../../src/event-store/event-store.ts'
import { type ControlWorld, openControlWorld } from '../../support/control-world.ts'
import { newRunId } from '../../support/projection-world.ts'
import { event, receipt, requested, root, sigtermSent, started, unproven, user } from '../../support/run-events.ts'
import { type ScriptedHost, scriptedHost } from '../../support/scripted-host.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

let world: ControlWorld
let host: ScriptedHost
let directory: ReturnType<typeof makeTemporaryDirectory>
let control: RunningControl
let away: string | undefined

const context = (id = user.id): RequestContext => ({ actor: { kind: 'user', id }, correlationId: 'test' })

function create(changes: Partial<ControlDeps> = {}): RunningControl {
  let position: number | undefined
  return createControl({
    store: world.store,
    projector: world.project(),
    pool: world.pool,
    host: host.link,
    checkpoint: {
      read: async () => position,
      async write(next) {
        position = next
      },
    },
    auditSpool: createAuditSpool(`${directory.path}/spool.jsonl`, world.log),
    log: world.log,
    now: () => new Date(),
    checkIntervalMs: 5_000,
    storeAway: () => away,
    ...changes,
  })
}

beforeEach(async () => {
  world = await openControlWorld()
  host = scriptedHost()
  directory = makeTemporaryDirectory()
  away = undefined
  control = create()
  await control.start()
})
afterEach(async () => {
  await control.close()
  await world.close()
  directory.remove()
})

/** A store that answers, while what it should tell by itself is not heard. */
const handingRoundNothing = (store: EventStore): EventStore => ({
  ...store,
  async *subscribe({ signal }) {
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
  },
})

const command = ['sleep', '1']
const auditOf = async (runId: string) =>
  (await world.eventsOf(`audit-${runId.slice(4)}`)).map(
    ({ type, data }) => ({ type, data }) as { type: string; data: Record<string, unknown> },
  )

async function startedRun(): Promise<string> {
  const answer = await control.startRun(context(), { command })
  if (answer.type !== 'StartRunAnswer') throw new Error(answer.type)
  await world.until(() => host.wanted.some(({ runId }) => runId === answer.run.runId), 'the host to be told')
  offer(answer.run.runId, started())
  await world.until(async () => (await control.run(answer.run.runId))?.status === 'RUNNING', 'the run to run')
  return answer.run.runId
}

const offer = (runId: string, ...bodies: (FactBody | RunEventBody)[]) =>
  host.offer(...host.facts(runId, ...(bodies as FactBody[])))

/** The host kills whatever it is told to, with proof or without. */
function obedient(end: (runId: string) => FactBody[]): void {
  const told = new Set<string>()
  host.script.beforeWant = async ({ runId, kill }) => {
    if (kill === null || told.has(runId)) return
    told.add(runId)
    offer(runId, ...end(runId))
  }
}
const proof = (runId: string): FactBody => ({ type: 'TreeGone', data: { receipt: receipt({ runId }) } })
const doubt = (runId: string): FactBody => ({ type: 'TreeNotProven', data: { receipt: unproven({ runId }) } })
const cleaned: FactBody = { type: 'RunCleaned', data: { failedSteps: [] } }
const sigterm = sigtermSent() as FactBody

const rows = async (runId: string) => {
  const runs = await world.pool.query('SELECT status FROM runs WHERE run_id = $1', [runId])
  const processes = await world.pool.query('SELECT status, pid FROM workflow_processes WHERE run_id = $1', [runId])
  return { run: runs.rows[0]?.status, process: processes.rows[0]?.status, pid: processes.rows[0]?.pid }
}

describe('startRun', () => {
  it('[R14] the same request twenty times at once, with one key, is one run; every answer has its row', async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const answer = await control.startRun(context(), { command, idempotencyKey: 'again' })
        return { answer, row: await rows(answer.type === 'StartRunAnswer' ? answer.run.runId : '') }
      }),
    )
    const ids = answers.map(({ answer }) => (answer.type === 'StartRunAnswer' ? answer.run.runId : answer.type))
    expect(new Set(ids).size).toBe(1)
    expect(answers.map(({ row }) => row.run)).toEqual(Array(20).fill('REQUESTED'))
    expect(await world.lifecycle(ids[0] ?? '')).toHaveLength(1)
    const outcomes = (await auditOf(ids[0] ?? '')).flatMap(({ data }) => data.outcome ?? [])
    expect(outcomes.sort()).toEqual(['ACCEPTED', ...Array(19).fill('JOINED')])
  })

  it('another request with the same key is a conflict; of another actor it is another run', async () => {
    const first = await control.startRun(context(), { command, idempotencyKey: 'key' })
    if (first.type !== 'StartRunAnswer') throw new Error(first.type)
    for (const other of [{ command: ['sleep', '2'] }, { command, labels: { a: 'b' } }, { command, workflow: 'LINA' }]) {
      const answer = await control.startRun(context(), { ...other, idempotencyKey: 'key' })
      expect(answer).toMatchObject({ type: 'IdempotencyConflict', runId: first.run.runId })
    }
    const others = await control.startRun(context('grace'), { command, idempotencyKey: 'key' })
    expect(others).toMatchObject({ type: 'StartRunAnswer', run: { requestedBy: { id: 'grace' } } })
    expect(others).not.toMatchObject({ run: { runId: first.run.runId } })
  })

  it('the keys of two actors never meet, whatever is in their names', async () => {
    const one = await control.startRun(context('a:b'), { command, idempotencyKey: 'c' })
    const two = await control.startRun(context('a'), { command, idempotencyKey: 'b:c' })
    expect([one.type, two.type]).toEqual(['StartRunAnswer', 'StartRunAnswer'])
  })

  it('[R20] input that cannot be used is refused, recorded, and starts nothing', async () => {
    for (const input of [{ command: [] }, { command: 'sleep' }, null, 7, { command, extra: 1 }]) {
      expect((await control.startRun(context(), input)).type).toBe('InvalidInput')
    }
    const recorded = await world.eventsOf('audit-none')
    expect(recorded.map(({ data }) => (data as { decision: string }).decision)).toEqual(Array(5).fill('denied'))
    expect(host.wanted).toEqual([])
  })

  it('[R14] a new host is told of every run that is accepted, however early it is asked for', async () => {
    const late = Promise.withResolvers<void>()
    let position: number | undefined
    const early = create({
      checkpoint: {
        async read() {
          await late.promise
          return position
        },
        async write(next) {
          position = next
        },
      },
    })
    const starting = early.start()
    const answer = await early.startRun(context(), { command })
    late.resolve()
    await starting
    const ask = async () => early.startRun(context(), { command })
    const accepted = [answer, await ask()].flatMap((one) => (one.type === 'StartRunAnswer' ? one.run.runId : []))
    expect(accepted.length).toBeGreaterThan(0)
    for (const runId of accepted)
      await world.until(() => host.wanted.some((run) => run.runId === runId), 'a wish', 3_000)
    await early.close()
  })
})

describe('killRun', () => {
  it('[R4] waits for the end of the cleanup by itself; its answer and the rows agree at once', async () => {
    const runId = await startedRun()
    obedient((id) => [sigterm, proof(id), cleaned])
    const answer = await control.killRun(context(), { runId, reason: 'it hangs' })
    expect(answer).toMatchObject({
      type: 'KillRunAnswer',
      success: true,
      runId,
      killedAt: expect.any(String),
      cleanupStatus: 'DONE',
      joined: false,
      waitExpired: false,
    })
    expect(await rows(runId)).toEqual({ run: 'KILLED', process: 'KILLED', pid: null })
    expect(await control.killRun(context(), { runId })).toMatchObject({
      type: 'AlreadyEnded',
      run: { status: 'KILLED' },
    })
  })

  it('[R4] ACCEPTED answers as soon as the kill is recorded, KILLED with the receipt, before the cleanup', async () => {
    const runId = await startedRun()
    const accepted = await control.killRun(context(), { runId, waitFor: 'ACCEPTED' })
    expect(accepted).toMatchObject({ success: false, waitExpired: false, run: { status: 'KILLING' } })
    expect((await rows(runId)).run).toBe('KILLING')
    const killed = control.killRun(context(), { runId, waitFor: 'KILLED' })
    await world.until(async () => (await auditOf(runId)).length >= 4, 'the kill to have joined')
    offer(runId, sigterm, proof(runId))
    expect(await killed).toMatchObject({ success: true, joined: true, cleanupStatus: 'RUNNING' })
    expect((await rows(runId)).run).toBe('KILLED')
  })

  it('[R4] an expired wait, or a client that goes away, ends the wait and not the kill', async () => {
    const runId = await startedRun()
    const expired = await control.killRun(context(), { runId, timeoutMs: 50 })
    expect(expired).toMatchObject({ success: false, waitExpired: true, killedAt: null })
    const client = new AbortController()
    const left = control.killRun(context(), { runId }, client.signal)
    client.abort()
    expect(await left).toMatchObject({ success: false, waitExpired: true, joined: true })
    offer(runId, sigterm, proof(runId), cleaned)
    await world.until(async () => (await control.run(runId))?.status === 'KILLED', 'the kill')
  })

  it('[M1] a kill that could not be proven ends every wait at once, without success', async () => {
    const runId = await startedRun()
    obedient((id) => [sigterm, doubt(id)])
    const begun = Date.now()
    const [cleanedWait, killedWait] = await Promise.all([
      control.killRun(context(), { runId }),
      control.killRun(context(), { runId, waitFor: 'KILLED' }),
    ])
    for (const answer of [cleanedWait, killedWait]) {
      expect(answer).toMatchObject({ success: false, killedAt: null, run: { status: 'KILL_UNVERIFIED' } })
      expect(answer).toMatchObject({ message: expect.stringContaining('NOT PROVEN DEAD') })
    }
    expect(Date.now() - begun).toBeLessThan(10_000)
    expect((await rows(runId)).run).toBe('KILL_UNVERIFIED')
  })

  it('a run that ends by itself while it is being killed keeps its own outcome; the receipt still proves its end', async () => {
    const runId = await startedRun()
    const exit = event('ProcessExited', { status: 0, at: new Date().toISOString() }) as FactBody
    obedient((id) => [exit, proof(id), cleaned])
    const answer = await control.killRun(context(), { runId })
    expect(answer).toMatchObject({ success: true, killedAt: null, run: { status: 'COMPLETED' } })
    expect(answer).toMatchObject({ message: expect.stringContaining('ended by itself as COMPLETED') })
  })

  it('[R10] fifty kills at once are one kill; a stronger one among them pre-empts', async () => {
    const runId = await startedRun()
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        control.killRun(context(), { runId, waitFor: 'ACCEPTED', force: index === 25 }),
      ),
    )
    expect(answers.every(({ type }) => type === 'KillRunAnswer')).toBe(true)
    const kills = (await world.lifecycle(runId)).filter(({ type }) => type === 'KillRequested')
    expect(kills.map(({ data }) => (data as { kind: string }).kind).at(-1)).toBe('force')
    expect(kills.length).toBeLessThanOrEqual(2)
    await world.until(() => host.wanted.at(-1)?.kill?.kind === 'force', 'the force')
  })

  it('[R14] a retry with the same key, whatever became of the run, gets the first kill and makes no other', async () => {
    const runId = await startedRun()
    obedient((id) => [sigterm, proof(id), cleaned])
    const input = { runId, idempotencyKey: 'kill-1' }
    expect(await control.killRun(context(), input)).toMatchObject({ success: true })
    expect(await control.killRun(context(), input)).toMatchObject({
      type: 'KillRunAnswer',
      success: true,
      joined: true,
    })
    const kills = (await world.lifecycle(runId)).filter(({ type }) => type === 'KillRequested')
    expect(kills).toHaveLength(1)
  })

  it('[R20] a run that there is not is not found, and the attempt is recorded with what came of it', async () => {
    const runId = newRunId()
    expect(await control.killRun(context(), { runId })).toMatchObject({ type: 'RunNotFound', runId })
    expect(await control.killRun(context(), { runId: 'nobody' })).toMatchObject({ type: 'RunNotFound' })
    expect((await auditOf(runId)).map(({ type, data }) => [type, data.decision ?? data.outcome])).toEqual([
      ['ActionAttempted', 'allowed'],
      ['ActionCompleted', 'RunNotFound'],
    ])
  })

  it('[R14] a kill that was accepted is never answered as if nothing had been done, though the store goes away', async () => {
    let gone = false
    const { store } = world
    const fragile = create({
      store: {
        ...store,
        async append(stream, events, expected) {
          const result = await store.append(stream, events, expected)
          // The last thing that this store is heard of is the outcome in the audit.
          if (events.some(({ type }) => type === 'ActionCompleted')) gone = true
          return result
        },
      },
      storeAway: () => (gone ? 'The cable was pulled.' : undefined),
    })
    await fragile.start()
    const runId = await startedRun()
    const answer = await fragile.killRun(context(), { runId, timeoutMs: 300 })
    expect(answer).toMatchObject({ type: 'KillRunAnswer', success: false, waitExpired: true, runId })
    await world.until(() => host.wanted.at(-1)?.kill?.kind === 'graceful', 'the kill')
    await fragile.close()
  })

  it.each([
    ['killRun', (runId: string) => control.killRun(context(), { runId }, AbortSignal.abort())],
    ['restartRun', (runId: string) => control.restartRun(context(), { runId }, AbortSignal.abort())],
    ['forceCompleteRun', (runId: string) => control.forceCompleteRun(context(), { runId }, AbortSignal.abort())],
  ])('[R11] %s tells the host at once, though the store hands round no event', async (_name, ask) => {
    await control.close()
    const runId = newRunId()
    const order = await world.append(runId, requested({ runId }))
    await world.append(runId, started())
    host.script.known = [runId]
    control = create({ store: handingRoundNothing(world.store) })
    await control.start()
    expect(await ask(runId)).toMatchObject({ joined: false, waitExpired: true })
    const kill = { kind: 'graceful', graceMs: 3_000 }
    await world.until(() => host.wanted.at(-1)?.kill, 'the host to be told')
    expect(host.wanted.at(-1)).toMatchObject({ runId, order, kill })
  })

  it('[R14] while the store is away a kill says so, changes nothing, and the refusal is recorded once it is back', async () => {
    const runId = await startedRun()
    const before = host.wanted.length
    await world.goAway()
    expect(await control.killRun(context(), { runId })).toMatchObject({ type: 'StoreUnavailable' })
    expect(host.wanted).toHaveLength(before)
    await world.comeBack()
    const recorded = await world.until(async () => {
      const events = await auditOf(runId).catch(() => [])
      return events.some(({ data }) => data.decision === 'denied' && data.action === 'killRun') && events
    }, 'the refusal to be in the store')
    const denied = recorded.filter(({ data }) => data.action === 'killRun')
    expect(denied.map(({ data }) => String(data.why))).toEqual([expect.stringContaining('STORE_UNAVAILABLE')])
  })
})

describe('an answer', () => {
  it('[R41] waits for the projection of every event it speaks of, also of those that others wrote', async () => {
    const asked: { position: number; head: number }[] = []
    const audit: AuditLog = {
      allowed: async (_context, _attempt, act) => (await act('store')).result,
      denied: async () => {},
    }
    const deps: UseCaseDeps = {
      store: world.store,
      host: host.link,
      audit,
      hurried: { store: world.store, audit },
      feed: createRunFeed(world.store),
      now: () => new Date(),
      async projected(state, position) {
        asked.push({ position, head: await world.store.head() })
        return state
      },
      tellOfKill: () => {},
      workflowsFollowed: async () => {},
      workflowNamesLike: async () => [],
    }
    const input = { command, idempotencyKey: 'key' }
    const first = await startRun(deps, context(), input)
    if (first.type !== 'StartRunAnswer') throw new Error(first.type)
    const { runId } = first.run
    await world.append(runId, started())
    expect(await startRun(deps, context(), input)).toMatchObject({ run: { status: 'RUNNING' } })
    const kill = () => killRun(deps, context(), { runId, waitFor: 'ACCEPTED' }, AbortSignal.timeout(5_000))
    expect(await kill()).toMatchObject({ joined: false })
    await world.append(runId, sigtermSent())
    expect(await kill()).toMatchObject({ joined: true })
    await world.append(runId, event('RunKilled', { rootExit: null, receipt: receipt({ runId }) }))
    expect(await kill()).toMatchObject({ type: 'AlreadyEnded' })
    expect(asked).toHaveLength(5)
    expect(asked.map(({ position }) => position)).toEqual(asked.map(({ head }) => head))
  })
})

describe('registerProcess', () => {
  it('[R12] a process is registered under a free id, once; a refusal is recorded', async () => {
    const runId = newRunId()
    const input = { runId, pid: root.pid, workspacePath: '/srv/work' }
    const answers = await Promise.all([1, 2, 3].map(() => control.registerProcess(context(), input)))
    expect(answers.map(({ type }) => type).sort()).toEqual(['RegisterProcessAnswer', 'RunIdTaken', 'RunIdTaken'])
    const [wish] = await world.until(() => host.wanted.length > 0 && host.wanted, 'the host to be told')
    expect(wish).toMatchObject({ work: { kind: 'supervise', root, workspacePath: '/srv/work' } })
    expect((await world.eventsOf(runStream(runId))).map(({ type }) => type)).toEqual(['RunRequested'])
    expect(await control.registerProcess(context(), { pid: 4_000_000 })).toMatchObject({
      type: 'RegistrationRefused',
      code: 'NO_SUCH_PROCESS',
    })
  })
})

describe('readiness', () => {
  const failing = async () => (await control.readiness()).checks.filter(({ ok }) => !ok).map(({ name }) => name)

  it('[R22] is ready when everything is', async () => {
    await world.until(async () => (await control.readiness()).ready, 'the server to be ready')
  })

  it('[R22] is not before the store is open, while it is away, and again once it is back', async () => {
    const unopened = create()
    expect((await unopened.readiness()).checks).toContainEqual(
      expect.objectContaining({ name: 'event-store', ok: false }),
    )
    await unopened.close()
    await world.until(async () => (await control.readiness()).ready, 'the server to be ready')
    away = 'The cable was pulled.'
    expect(await control.readiness()).toMatchObject({ ready: false })
    expect((await control.readiness()).checks[0]).toEqual({ name: 'event-store', ok: false, detail: away })
    away = undefined
    await world.goAway()
    expect(await failing()).toContain('event-store')
    await world.comeBack()
    await world.until(async () => (await control.readiness()).ready, 'the server to be ready again')
  })

  it('[R22] is not while the host has not heard of the runs that it knows', async () => {
    const runId = await startedRun()
    const other = scriptedHost()
    other.script.known = [runId]
    let full = true
    other.script.beforeWant = async () => {
      if (full) throw new Error('EIO')
    }
    const second = create({ host: other.link })
    await second.start()
    await world.until(() => world.lines.some((line) => line.includes('could not be told')), 'the host to refuse')
    expect((await second.readiness()).checks).toContainEqual(expect.objectContaining({ name: 'host', ok: false }))
    full = false
    await world.until(async () => (await second.readiness()).ready, 'the host to be reconciled')
    await second.close()
  })

  it('[R22] is not with facts that cannot be recorded', async () => {
    await world.until(async () => (await control.readiness()).ready, 'the server to be ready')
    const stranger = newRunId()
    offer(stranger, started())
    await world.until(async () => (await failing()).includes('facts'), 'the facts to be stuck')
    const facts = (await control.readiness()).checks.find(({ name }) => name === 'facts')
    expect(facts?.detail).toContain(stranger)
  })

  it('[R10] is not when the host can keep its journals in memory only (disk full)', async () => {
    await world.until(async () => (await control.readiness()).ready, 'the server to be ready')
    host.script.journalsOk = false
    expect(await failing()).toEqual(['journals'])
  })
})
