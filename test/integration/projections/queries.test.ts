import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Projector } from '../../../projections/projector.ts'
import { listAudit } from '../../../src/control/queries/audit.ts'
import { followRuns } from '../../../src/control/queries/follow-runs.ts'
import { InvalidCursor, type Page, type PageRequest } from '../../../src/control/queries/page.ts'
import type { RunFilter } from '../../../src/control/queries/run-filter.ts'
import { followRunEvents, listRunEvents } from '../../../src/control/queries/run-history.ts'
import { findRun, listRuns, matches } from '../../../src/control/queries/runs.ts'
import { listTimeline } from '../../../src/control/queries/timeline.ts'
import type { RecordedEvent } from '../../../src/domain/event.ts'
import type { RunId } from '../../../src/domain/ids.ts'
import type { RunState } from '../../../src/domain/run-state.ts'
import { StoreUnavailable } from '../../../src/event-store/event-store.ts'
import { openPool } from '../../../src/postgres/connection.ts'
import { caughtUp, newRunId, openWorld, patience, requestedAs, type World } from '../../support/projection-world.ts'
import { event, killRequested, receipt, requested, started, turn } from '../../support/run-events.ts'

let world: World
let projector: Projector
beforeAll(async () => {
  world = await openWorld()
  projector = world.project()
})
afterAll(() => world.close())

/** Every page of a list, `first` items each. */
async function walk<Item>(list: (page: PageRequest) => Promise<Page<Item>>, first: number): Promise<Item[]> {
  const items: Item[] = []
  for (let after: string | null = null; ; ) {
    const page: Page<Item> = await list({ first, after })
    items.push(...page.items.map(({ item }) => item))
    expect(page.items.length).toBeLessThanOrEqual(first)
    if (!page.hasNextPage) return items
    after = page.items.at(-1)?.cursor ?? null
  }
}

const finished = (runId: RunId) => [
  requestedAs(runId, 'GUARDIAN'),
  started(),
  killRequested('force'),
  event('RunKilled', { rootExit: null, receipt: receipt({ runId }) }),
  event('RunCleaned', { failedSteps: [] }),
]

async function collect<Item>(items: AsyncIterable<Item>, count = Number.POSITIVE_INFINITY): Promise<Item[]> {
  const collected: Item[] = []
  for await (const item of items) if (collected.push(item) >= count) break
  return collected
}

describe('lists', () => {
  it('[R21] of runs are walked newest first, page by page, whichever filter, while runs are added', async () => {
    const mine: RunId[] = []
    for (let index = 0; index < 9; index += 1) {
      const runId = newRunId()
      mine.unshift(runId)
      if (index % 3 === 0) await world.append(runId, ...finished(runId))
      else await world.append(runId, requestedAs(runId, 'PAGED'), started())
    }
    await caughtUp(world, projector)
    const idsOf = (runs: RunState[]) => runs.map(({ runId }) => runId)
    const walked = (filter: RunFilter, first: number) =>
      walk((page) => listRuns(world.pool, filter, page), first).then(idsOf)
    for (const first of [1, 2, 4, 500]) {
      expect(await walked({}, first)).toEqual(mine)
      expect(await walked({ workflow: 'PAGED' }, first)).toEqual(mine.filter((_, index) => (8 - index) % 3 !== 0))
      expect(await walked({ live: false }, first)).toEqual(mine.filter((_, index) => (8 - index) % 3 === 0))
      expect(await walked({ live: true, status: ['KILLED'] }, first)).toEqual([])
      expect(await walked({ status: ['RUNNING', 'KILLED', 'KILLED'] }, first)).toEqual(mine)
    }
    // Added while somebody turns the pages: nothing moves under them.
    const added: RunId[] = []
    const slowly = await walk(async (page) => {
      const answer = await listRuns(world.pool, {}, page)
      const runId = newRunId()
      added.push(runId)
      await world.append(runId, requestedAs(runId))
      await caughtUp(world, projector)
      return answer
    }, 2)
    expect(idsOf(slowly)).toEqual(mine)
    expect(await walked({}, 3)).toEqual([...added.reverse(), ...mine])
  })

  it('[R20] of attempts are walked newest first, of one run or of all', async () => {
    const [runId, other] = [newRunId(), newRunId()]
    const attempts: string[] = []
    for (let index = 0; index < 5; index += 1) {
      const attemptId = randomUUID()
      attempts.unshift(attemptId)
      await world.appendAudit(index === 2 ? other : runId, {
        type: 'ActionAttempted',
        data: { action: 'killRun', target: null, reason: null, details: {}, attemptId, decision: 'allowed', why: 'x' },
      })
    }
    await caughtUp(world, projector)
    const walked = async (filter: { runId?: string }) =>
      (await walk((page) => listAudit(world.pool, filter, page), 2)).map(({ attemptId }) => attemptId)
    expect(await walked({})).toEqual(attempts)
    expect(await walked({ runId })).toEqual(attempts.filter((_, index) => index !== 2))
    expect(await walked({ runId: newRunId() })).toEqual([])
  })

  it('[R20] of attempts on a run that a restart made begin with that restart', async () => {
    const [oldRun, newRun] = [newRunId(), newRunId()]
    const attempt = (action: 'restartRun' | 'killRun') => ({
      type: 'ActionAttempted' as const,
      data: { action, target: null, reason: null, details: {}, attemptId: randomUUID(), decision: 'allowed', why: 'x' },
    })
    const [made, other, later] = [attempt('restartRun'), attempt('killRun'), attempt('killRun')]
    await world.appendAudit(oldRun, made as never, other as never)
    await world.appendAudit(newRun, later as never)
    const { launch, policy } = requested().data
    const restart = {
      newRunId: newRun,
      definition: 'RECORDED',
      workflow: 'BUILDER',
      launch,
      policy,
      reason: null,
    } as const
    await world.append(
      oldRun,
      ...[requestedAs(oldRun), started(), event('RestartRequested', { ...restart, launch: launch as never })],
    )
    await world.append(newRun, requested({ runId: newRun, restartOf: oldRun }))
    await caughtUp(world, projector)
    const ids = async (runId: RunId) =>
      (await walk((page) => listAudit(world.pool, { runId }, page), 1)).map(({ attemptId }) => attemptId)
    expect(await ids(newRun)).toEqual([later.data.attemptId, made.data.attemptId])
    expect(await ids(oldRun)).toEqual([other.data.attemptId, made.data.attemptId])
  })

  it('[R40] of runs are found by labels and by how their id begins', async () => {
    const hex = newRunId().slice(4, 14)
    const [one, two, other]: RunId[] = [`run_${hex}0f`, `run_${hex}ff`, newRunId()]
    const labelled = (runId: RunId, labels: Record<string, string>) => requested({ runId, labels })
    await world.append(one as RunId, labelled(one as RunId, { team: hex, pr: '7' }))
    await world.append(two as RunId, labelled(two as RunId, { team: hex }))
    await world.append(other as RunId, labelled(other as RunId, { pr: '7' }))
    await caughtUp(world, projector)
    const found = async (filter: RunFilter) => {
      const runs = await walk((page) => listRuns(world.pool, filter, page), 1)
      for (const run of runs) expect(matches(run, filter)).toBe(true)
      return runs.map(({ runId }) => runId)
    }
    expect(await found({ labels: { team: hex } })).toEqual([two, one])
    expect(await found({ labels: { team: hex, pr: '7' }, live: true })).toEqual([one])
    expect(await found({ labels: { team: 'none' } })).toEqual([])
    expect(await found({ idPrefix: `run_${hex}` })).toEqual([two, one])
    expect(await found({ idPrefix: `run_${hex}f` })).toEqual([two])
    expect(await found({ idPrefix: two as string })).toEqual([two])
    expect(await found({ idPrefix: `run_${hex}0e` })).toEqual([])
  })

  it('[R38] refuse a cursor that is none of theirs', async () => {
    const [runId, other] = [newRunId(), newRunId()]
    await world.append(runId, requestedAs(runId), started())
    await world.append(other, requestedAs(other), started())
    await caughtUp(world, projector)
    const ofRuns = (await listRuns(world.pool, {}, { first: 1 })).items[0]?.cursor
    const ofEvents = (await listRunEvents(world.store, runId, { first: 1 }))?.items[0]?.cursor
    const forged = Buffer.from(JSON.stringify(['runs', ['2026-01-01T00:00:00Z', "' OR 1=1"]])).toString('base64url')
    for (const after of ['', 'x', '%%%', 'bnVsbA', 'W10', forged, ofEvents]) {
      await expect(listRuns(world.pool, {}, { first: 1, after })).rejects.toThrow(InvalidCursor)
    }
    for (const after of ['x', ofRuns]) {
      await expect(listAudit(world.pool, {}, { first: 1, after })).rejects.toThrow(InvalidCursor)
      await expect(listTimeline(world.pool, runId, { first: 1, after })).rejects.toThrow(InvalidCursor)
      await expect(listRunEvents(world.store, runId, { first: 1, after })).rejects.toThrow(InvalidCursor)
      await expect(collect(followRunEvents(world.store, runId, after ?? '', patience()))).rejects.toThrow(InvalidCursor)
    }
    await expect(listRunEvents(world.store, other, { first: 1, after: ofEvents })).rejects.toThrow(InvalidCursor)
  })

  it('[R38] say that the store is away instead of failing for a reason of their own', async () => {
    const nowhere = openPool({ ...world.database.connection, database: 'test_nowhere', port: 1 }, { purpose: 'test' })
    await expect(findRun(nowhere, newRunId())).rejects.toThrow(StoreUnavailable)
    await nowhere.end()
  })
})

describe('the history of a run', () => {
  it('[R38] is paged in the order of its events, and is not there for an unknown run', async () => {
    const runId = newRunId()
    await world.append(runId, ...finished(runId))
    const events = await walk(async (page) => {
      const answer = await listRunEvents(world.store, runId, page)
      if (answer === undefined) throw new Error('the run is there')
      return answer
    }, 2)
    expect(events.map(({ event }) => event.type)).toEqual(finished(runId).map(({ type }) => type))
    const last = events.at(-1)?.cursor
    expect(await listRunEvents(world.store, runId, { first: 2, after: last })).toEqual({
      items: [],
      hasNextPage: false,
    })
    expect(await listRunEvents(world.store, newRunId(), { first: 2 })).toBeUndefined()
    expect(await listRunEvents(world.store, 'nonsense', { first: 2 })).toBeUndefined()
  })

  it('[R23] is followed without gap or duplicate while it is written, from any cursor, to its end', async () => {
    const runId = newRunId()
    await world.append(runId, requestedAs(runId), started())
    const noise = newRunId()
    const writer = (async () => {
      for (let count = 1; count <= 60; count += 1) {
        await world.append(runId, turn(count))
        await world.append(noise, turn(count))
      }
      await world.append(runId, ...finished(runId).slice(2))
    })()
    const revisionsOf = (events: { event: RecordedEvent }[]) => events.map(({ event }) => event.revision)
    const all = Array.from({ length: 65 }, (_, revision) => revision)
    const early = await collect(followRunEvents(world.store, runId, null, patience()), 5)
    const [whole, resumed] = await Promise.all([
      collect(followRunEvents(world.store, runId, null, patience())),
      collect(followRunEvents(world.store, runId, early.at(-1)?.cursor ?? null, patience())),
    ])
    await writer
    expect(revisionsOf(whole)).toEqual(all)
    expect(revisionsOf([...early, ...resumed])).toEqual(all)

    // Whatever is said after the end, a follower that comes back finds it and is let go.
    const late = event('LateResultObserved', { fact: 'TurnCompleted', data: {}, status: 'KILLED' })
    await world.append(runId, late)
    const end = whole.at(-1)?.cursor ?? null
    const [afterEnd] = await collect(followRunEvents(world.store, runId, end, patience()))
    expect(afterEnd?.event.type).toBe('LateResultObserved')
    expect(await collect(followRunEvents(world.store, runId, afterEnd?.cursor ?? null, patience()))).toEqual([])
    expect(await collect(followRunEvents(world.store, newRunId(), null, patience()))).toEqual([])
  })

  it('[R23] is followed until the follower leaves', async () => {
    const runId = newRunId()
    await world.append(runId, requestedAs(runId))
    const leaving = new AbortController()
    const types: string[] = []
    for await (const { event } of followRunEvents(world.store, runId, null, leaving.signal)) {
      types.push(event.type)
      if (types.length === 1) void world.append(runId, started())
      else leaving.abort()
    }
    expect(types).toEqual(['RunRequested', 'RunStarted'])
  })
})

describe('changes of runs', () => {
  it('[R23] are told after they were projected, those that match', async () => {
    const leaving = new AbortController()
    const [runId, other] = [newRunId(), newRunId()]
    const follow = (filter: RunFilter & { runId?: string }) =>
      followRuns(world.store, projector, world.pool, filter, leaving.signal)
    const until = async (runs: AsyncIterable<RunState>, done: (run: RunState) => boolean) => {
      const seen: RunState[] = []
      for await (const run of runs) {
        // What a client reads right after is no older.
        expect((await findRun(world.pool, run.runId))?.revision).toBeGreaterThanOrEqual(run.revision)
        seen.push(run)
        if (done(run)) break
      }
      return seen
    }
    const killed = until(follow({ status: ['KILLED'], workflow: 'GUARDIAN' }), () => true)
    const one = until(follow({ runId }), (run) => run.cleanup.doneAt !== null)
    const any = until(follow({}), (run) => run.runId === other)
    // "From now on" begins some time after the call: so events are written until everybody has seen theirs.
    const seen = Promise.all([killed, one, any])
    let done = false
    void seen.finally(() => {
      done = true
    })
    await world.append(runId, ...finished(runId).slice(0, 3))
    await world.append(other, requestedAs(other))
    for (let count = 1; count <= 20; count += 1) await world.append(runId, turn(count))
    await world.append(runId, ...finished(runId).slice(3))
    while (!done) await world.append(other, turn(1))
    const [ofKilled, ofOne] = await seen
    leaving.abort()
    expect(ofKilled).toMatchObject([{ runId, status: 'KILLED' }])
    expect(new Set(ofOne.map((run) => run.runId))).toEqual(new Set([runId]))
    const revisions = ofOne.map(({ revision }) => revision)
    expect(revisions).toEqual(revisions.toSorted((a, b) => a - b))
  })
})
