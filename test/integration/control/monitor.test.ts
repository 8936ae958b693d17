import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Projector } from '../../../projections/projector.ts'
import { createAuditLog } from '../../../src/control/audit-log.ts'
import { createAuditSpool } from '../../../src/control/audit-spool.ts'
import { createMonitor } from '../../../src/control/monitor.ts'
import { listAlerts } from '../../../src/control/queries/alerts.ts'
import { followAlerts } from '../../../src/control/queries/follow-alerts.ts'
import { alertStream } from '../../../src/domain/alert-events.ts'
import type { Sample } from '../../../src/domain/host-link.ts'
import { auditStream, type RunId } from '../../../src/domain/ids.ts'
import { type PolicyInput, resolvePolicy } from '../../../src/domain/policy.ts'
import type { RunEventBody } from '../../../src/domain/run-events.ts'
import { StoreUnavailable } from '../../../src/event-store/event-store.ts'
import { type ControlWorld, openControlWorld } from '../../support/control-world.ts'
import { newRunId, patience } from '../../support/projection-world.ts'
import {
  event,
  killRequested,
  phase,
  receipt,
  requested,
  started,
  time,
  turn,
  unproven,
} from '../../support/run-events.ts'
import { type ScriptedHost, scriptedHost } from '../../support/scripted-host.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

const startMs = 1_000
const minutes = 60_000

let world: ControlWorld
let projector: Projector
let host: ScriptedHost
let directory: ReturnType<typeof makeTemporaryDirectory>
/** Of the injected clock: milliseconds since the runs' start. */
let elapsedMs: number
let reconciled: boolean
/** Whose kills the host was told of at once. */
let told: RunId[]
beforeEach(async () => {
  world = await openControlWorld()
  projector = world.project()
  host = scriptedHost()
  directory = makeTemporaryDirectory()
  elapsedMs = 0
  reconciled = true
  told = []
})
afterEach(async () => {
  await world.close()
  directory.remove()
})

const now = () => new Date(time(startMs + elapsedMs))

function createTestMonitor() {
  const spool = createAuditSpool(`${directory.path}/spool.jsonl`, world.log)
  const audit = createAuditLog(world.store, spool, now, async () => {})
  return createMonitor({
    ...{ store: world.store, pool: world.pool, host: host.link, audit, log: world.log, now },
    isReconciled: () => reconciled,
    tellOfKill: ({ state }) => void (state.kill !== null && told.push(state.runId)),
    intervalMs: 5_000,
  })
}

/** Appends, and waits until the monitor can see it. */
async function happens(runId: RunId, ...bodies: RunEventBody[]): Promise<void> {
  await world.append(runId, ...bodies)
  await projected()
}

async function projected(): Promise<void> {
  const head = await world.store.head()
  for (const name of projector.names) await projector.waitFor(head, patience(), name)
}

async function begin(policy: PolicyInput = {}): Promise<RunId> {
  const runId = newRunId()
  await happens(runId, requested({ runId, policy: resolvePolicy(policy) }), started({ startedAt: time(startMs) }))
  return runId
}

/** The clock goes on, the host looks at the runs, and the monitor checks. */
async function checkAt(ms: number, runIds: RunId[], sample: Partial<Sample> = {}, monitor = createTestMonitor()) {
  elapsedMs = ms
  for (const runId of runIds)
    host.script.sampled.set(runId, { at: now().toISOString(), factSequence: 0, acknowledged: 0, ...sample })
  await monitor.check()
  await projected()
}

const typesOf = async (runId: RunId) => (await world.lifecycle(runId)).map(({ type }) => type)
const killOf = async (runId: RunId) => (await world.lifecycle(runId)).find(({ type }) => type === 'KillRequested')

/** Kinds of open alerts. */
async function openAlerts(runId: RunId): Promise<string[]> {
  const { rows } = await world.pool.query<{ kind: string }>(
    'SELECT kind FROM alerts WHERE run_id = $1 AND resolved_at IS NULL ORDER BY kind',
    [runId],
  )
  return rows.map(({ kind }) => kind)
}

describe('[R16] [R17] acceptance under an injected clock, a check every 5 s', () => {
  /** @returns at which second the kill was asked for. */
  async function killedAfter(runId: RunId, fromSeconds: number, untilSeconds: number): Promise<number | undefined> {
    const monitor = createTestMonitor()
    for (let second = fromSeconds; second <= untilSeconds; second += 5) {
      await checkAt(second * 1_000, [runId], {}, monitor)
      if ((await killOf(runId)) !== undefined) return second
    }
    return undefined
  }

  it('strict kills a run in initialization at 300 s, and names the timeout', async () => {
    const runId = await begin({ preset: 'strict' })
    expect(await killedAfter(runId, 290, 400)).toBe(305)
    expect(await killOf(runId)).toMatchObject({
      data: {
        kind: 'graceful',
        reason: 'Initialization timeout: 5m 5s in initialization with 0 turns; the limit is 5m. (policy strict)',
      },
      metadata: { actor: { kind: 'monitor', id: 'monitor' } },
    })
  })

  it('strict kills a run that makes its turns at 3600 s, and names the timeout', async () => {
    const runId = await begin({ preset: 'strict' })
    await happens(runId, phase('build'), turn(1))
    expect(await killedAfter(runId, 300, 310)).toBeUndefined()
    expect(await killedAfter(runId, 3_590, 3_700)).toBe(3_605)
    expect(await killOf(runId)).toMatchObject({
      data: { reason: 'Total timeout: it has run for 1h; the limit is 1h. (policy strict)' },
    })
  })

  it('standard warns at 5 min and kills at 30 min', async () => {
    const runId = await begin()
    await checkAt(5 * minutes, [runId])
    expect(await openAlerts(runId)).toEqual([])
    await checkAt(5 * minutes + 5_000, [runId])
    expect(await openAlerts(runId)).toEqual(['INITIALIZATION_WARNING'])
    expect(await killedAfter(runId, 1_790, 1_900)).toBe(1_805)
    expect(await openAlerts(runId)).toEqual(['INITIALIZATION_WARNING', 'STUCK'])
  })

  it('standard only alerts after an hour', async () => {
    const runId = await begin()
    await happens(runId, turn(1))
    expect(await killedAfter(runId, 3_595, 3_610)).toBeUndefined()
    expect(await openAlerts(runId)).toEqual(['TOTAL_TIMEOUT'])
  })

  it('seven that are stuck at once are all killed', async () => {
    const runIds = await Promise.all(Array.from({ length: 7 }, () => begin()))
    await checkAt(31 * minutes, runIds)
    for (const runId of runIds) expect(await killOf(runId)).toBeDefined()
    expect(told.toSorted()).toEqual(runIds.toSorted())
  })
})

describe('[R15] [R41] verdicts', () => {
  it('are recorded once for each change, also by a monitor that was started anew', async () => {
    const runId = await begin({ onStuck: 'alert' })
    for (const minute of [1, 11, 12, 31, 32]) await checkAt(minute * minutes, [runId])
    const changes = (await world.lifecycle(runId)).filter(({ type }) => type === 'RunClassified')
    expect(changes.map(({ data }) => data)).toMatchObject([
      { previous: 'NORMAL', verdict: 'SLOW' },
      { previous: 'SLOW', verdict: 'STUCK', rule: 'STUCK_IN_INITIALIZATION' },
    ])
    expect(await killOf(runId)).toBeUndefined()
    await happens(runId, turn(1))
    await checkAt(33 * minutes, [runId])
    expect((await world.lifecycle(runId)).at(-1)?.data).toMatchObject({ previous: 'STUCK' })
  })
})

describe('[R17] [R20] the kill', () => {
  it('is asked for once, and audited like anybody else’s', async () => {
    const runId = await begin()
    await checkAt(31 * minutes, [runId])
    await checkAt(32 * minutes, [runId])
    expect(await typesOf(runId)).toEqual(['RunRequested', 'RunStarted', 'RunClassified', 'KillRequested'])
    const audit = await world.eventsOf(auditStream(runId))
    expect(audit.map(({ type }) => type)).toEqual(['ActionAttempted', 'ActionCompleted'])
    expect(audit[0]).toMatchObject({
      data: { action: 'killRun', decision: 'allowed', details: { limit: 'STUCK', policy: 'standard' } },
      metadata: { actor: { kind: 'monitor', id: 'monitor' } },
    })
    expect(audit[1]).toMatchObject({ data: { outcome: 'ACCEPTED' } })
  })

  it('is not asked for where somebody else’s is under way', async () => {
    const runId = await begin()
    await happens(runId, killRequested())
    await checkAt(31 * minutes, [runId])
    expect((await typesOf(runId)).filter((type) => type === 'KillRequested')).toHaveLength(1)
    expect(await world.eventsOf(auditStream(runId))).toEqual([])
  })
})

describe('acts only on what it knows (invariant 9)', () => {
  const nothing = ['RunRequested', 'RunStarted']

  it('not before the host has reconciled', async () => {
    const runId = await begin()
    reconciled = false
    await checkAt(31 * minutes, [runId])
    expect(await typesOf(runId)).toEqual(nothing)
    reconciled = true
    await checkAt(31 * minutes, [runId])
    expect(await killOf(runId)).toBeDefined()
  })

  it('not where the host has never looked, or not for a while', async () => {
    const runId = await begin()
    await checkAt(31 * minutes, [])
    await checkAt(31 * minutes, [runId], { at: time(startMs + 31 * minutes - 15_001) })
    expect(await typesOf(runId)).toEqual(nothing)
    expect(await openAlerts(runId)).toEqual([])
    await checkAt(31 * minutes, [runId], { at: time(startMs + 31 * minutes - 15_000) })
    expect(await killOf(runId)).toBeDefined()
  })

  it('not while something that was seen is not recorded yet', async () => {
    const runId = await begin()
    await checkAt(31 * minutes, [runId], { factSequence: 1 })
    await checkAt(31 * minutes, [runId], { factSequence: 1, acknowledged: 1 })
    expect(await typesOf(runId)).toEqual(nothing)
  })

  it('judges by the time of the look, not by that of the check', async () => {
    const runId = await begin()
    await checkAt(30 * minutes + 5_000, [runId], { at: time(startMs + 30 * minutes) })
    expect(await killOf(runId)).toBeUndefined()
  })

  it('what nobody sampled is no age', async () => {
    const runId = await begin({ preset: 'strict' })
    await happens(runId, event('SamplingInterrupted', { gapMs: 40 * minutes, cause: 'suspended' }))
    await checkAt(44 * minutes, [runId])
    expect(await killOf(runId)).toBeUndefined()
    await checkAt(46 * minutes, [runId])
    expect(await killOf(runId)).toBeDefined()
  })

  it('says that the store is away, and goes on when it is back', async () => {
    const runId = await begin()
    await world.goAway()
    elapsedMs = 31 * minutes
    host.script.sampled.set(runId, { at: now().toISOString(), factSequence: 0, acknowledged: 0 })
    await expect(createTestMonitor().check()).rejects.toThrow(StoreUnavailable)
    await world.comeBack()
    await world.until(
      () =>
        createTestMonitor()
          .check()
          .then(
            () => true,
            () => false,
          ),
      'the store to be back',
    )
    expect(await killOf(runId)).toBeDefined()
  })
})

describe('[R16] [R21] alerts', () => {
  it('are over when the run makes turns, or has ended', async () => {
    const runId = await begin()
    await checkAt(6 * minutes, [runId])
    await checkAt(7 * minutes, [runId])
    await happens(runId, turn(1))
    await checkAt(8 * minutes, [runId])
    expect(await openAlerts(runId)).toEqual([])
    await checkAt(61 * minutes, [runId])
    expect(await openAlerts(runId)).toEqual(['TOTAL_TIMEOUT'])
    await happens(runId, killRequested(), event('SigkillSent', { processes: 1, cause: 'kill' }))
    const proof = receipt()
    await happens(runId, event('RunKilled', { rootExit: null, receipt: { ...proof, runId } }))
    await checkAt(62 * minutes, [])
    expect(await openAlerts(runId)).toEqual([])
    const { rows } = await world.pool.query('SELECT kind, severity, why FROM alerts ORDER BY kind')
    expect(rows).toEqual([
      { kind: 'INITIALIZATION_WARNING', severity: 'WARNING', why: 'The run makes turns: 1 so far.' },
      { kind: 'TOTAL_TIMEOUT', severity: 'WARNING', why: 'The run has ended as KILLED.' },
    ])
  })

  it('are not told again and again of a run that goes from phase to phase without a turn', async () => {
    const runId = await begin({ stuckAfterMs: minutes, initializationWarningMs: minutes, onStuck: 'alert' })
    const monitor = createTestMonitor()
    for (let second = 70; second <= 250; second += 10) {
      await happens(runId, phase(second % 20 === 0 ? 'build' : 'initialization'))
      await checkAt(second * 1_000, [runId], {}, monitor)
    }
    const told = async () => {
      const types: string[] = []
      for await (const event of world.store.readStream(alertStream(runId, 'STUCK'))) types.push(event.type)
      return types
    }
    expect(await told()).toEqual(['AlertRaised'])
    await happens(runId, phase('build'))
    await checkAt(260_000, [runId], {}, monitor)
    await checkAt(319_000, [runId], {}, monitor)
    expect(await told()).toEqual(['AlertRaised'])
    await checkAt(320_000, [runId], {}, monitor)
    expect(await told()).toEqual(['AlertRaised', 'AlertResolved'])
  })

  it('[M1] a kill that is not proven is told whether or not anybody looked', async () => {
    const runId = await begin()
    const doubt = unproven()
    await happens(runId, killRequested(), event('KillUnverified', { receipt: { ...doubt, runId } }))
    await checkAt(minutes, [])
    expect(await openAlerts(runId)).toEqual(['KILL_UNVERIFIED'])
  })
})

describe('[R21] [R23] alerts for those who read', () => {
  it('are listed newest first, and followed from a cursor without gap', async () => {
    const [first, second] = [await begin(), await begin()]
    const until = new AbortController()
    const live = followAlerts(world.store, projector, world.pool, null, until.signal)
    const next = live.next()
    await checkAt(6 * minutes, [first])
    const raised = (await next).value
    expect(raised?.alert).toMatchObject({ runId: first, kind: 'INITIALIZATION_WARNING', resolvedAt: null })
    await live.return(undefined)

    await checkAt(7 * minutes, [second])
    await happens(first, turn(1))
    await checkAt(8 * minutes, [first])
    const seen: string[] = []
    for await (const { alert } of followAlerts(
      world.store,
      projector,
      world.pool,
      raised?.cursor ?? '',
      until.signal,
    )) {
      seen.push(`${alert.runId} ${alert.resolvedAt === null ? 'open' : 'over'}`)
      if (seen.length === 2) until.abort()
    }
    expect(seen.toSorted()).toEqual([`${first} over`, `${second} open`].toSorted())

    const page = { first: 10 }
    const all = await listAlerts(world.pool, {}, page)
    expect(all.items.map(({ item }) => item.runId)).toEqual([second, first])
    const open = await listAlerts(world.pool, { open: true }, page)
    expect(open.items.map(({ item }) => item.runId)).toEqual([second])
    expect((await listAlerts(world.pool, { open: true, runId: first }, page)).items).toEqual([])
    expect(
      (await listAlerts(world.pool, {}, { first: 1, after: all.items[0]?.cursor ?? '' })).items[0]?.item.runId,
    ).toBe(first)
  })
})
