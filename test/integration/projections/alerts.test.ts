import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Projector } from '../../../projections/projector.ts'
import { type AlertLog, createAlertLog } from '../../../src/control/alert-log.ts'
import { listAlerts } from '../../../src/control/queries/alerts.ts'
import { type AlertChange, followAlerts } from '../../../src/control/queries/follow-alerts.ts'
import { InvalidCursor } from '../../../src/control/queries/page.ts'
import type { RunAlertKind } from '../../../src/domain/alert-events.ts'
import type { RunId } from '../../../src/domain/ids.ts'
import { stateAfter } from '../../support/decider-spec.ts'
import { caughtUp, newRunId, openWorld, patience, type World } from '../../support/projection-world.ts'
import { requested, started } from '../../support/run-events.ts'

let world: World
let projector: Projector
let log: AlertLog
let ending: AbortController
beforeEach(async () => {
  world = await openWorld()
  projector = world.project()
  let clock = Date.parse('2026-01-01T00:00:00.000Z')
  log = createAlertLog(world.store, { kind: 'monitor', id: 'monitor' }, () => {
    clock += 1_000
    return new Date(clock)
  })
  ending = new AbortController()
})
afterEach(async () => {
  ending.abort()
  await world.close()
})

const run = (runId: RunId) => ({ ...stateAfter([requested(), started()]), runId })
const raise = (runId: RunId, kind: RunAlertKind) => log.raise(run(runId), { kind, message: `${kind}!`, evidence: [] })
const resolve = (runId: RunId, kind: RunAlertKind) => log.resolve(run(runId), kind, 'It is over.')

const follow = (after: string | null): AsyncGenerator<AlertChange> =>
  followAlerts(world.store, projector, world.pool, after, ending.signal)

async function take(entries: AsyncGenerator<AlertChange>, count: number): Promise<AlertChange[]> {
  const taken: AlertChange[] = []
  while (taken.length < count) {
    const next = await Promise.race([entries.next(), rejected(patience())])
    if (next.done) throw new Error('it ended')
    taken.push(next.value)
  }
  return taken
}

const rejected = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

const said = ({ alert }: AlertChange) => `${alert.runId} ${alert.kind} ${alert.resolvedAt === null ? 'open' : 'over'}`

it('[R21] lists newest first, by filter and page by page', async () => {
  const [one, two] = [newRunId(), newRunId()]
  await raise(one, 'INITIALIZATION_WARNING')
  await raise(two, 'STUCK')
  await raise(one, 'STUCK')
  await resolve(one, 'INITIALIZATION_WARNING')
  await caughtUp(world, projector)
  const list = async (filter: Parameters<typeof listAlerts>[1], first = 10, after: string | null = null) =>
    listAlerts(world.pool, filter, { first, after })
  const kinds = async (filter: Parameters<typeof listAlerts>[1]) =>
    (await list(filter)).items.map(({ item }) => `${item.runId} ${item.kind}`)
  expect(await kinds({})).toEqual([`${one} STUCK`, `${two} STUCK`, `${one} INITIALIZATION_WARNING`])
  expect(await kinds({ open: true, runId: one })).toEqual([`${one} STUCK`])
  expect(await kinds({ open: false })).toEqual([`${one} INITIALIZATION_WARNING`])
  const page = await list({}, 2)
  expect(page.hasNextPage).toBe(true)
  const rest = await list({}, 2, page.items[1]?.cursor)
  expect(rest.items.map(({ item }) => item)).toMatchObject([
    { kind: 'INITIALIZATION_WARNING', severity: 'WARNING', why: 'It is over.', workflow: 'BUILDER' },
  ])
  expect(rest.hasNextPage).toBe(false)
  await expect(list({}, 2, 'nonsense')).rejects.toThrow(InvalidCursor)
})

it('[R23] follows: what is open, then each change; from any cursor on what came after it, none twice', async () => {
  const [one, two, three] = [newRunId(), newRunId(), newRunId()]
  await raise(one, 'STUCK')
  await raise(two, 'STUCK')
  await raise(three, 'STUCK')
  await resolve(three, 'STUCK')
  const live = follow(null)
  const open = await take(live, 2)
  expect(open.map(said)).toEqual([`${one} STUCK open`, `${two} STUCK open`])
  await resolve(one, 'STUCK')
  await raise(three, 'STUCK')
  await raise(one, 'TOTAL_TIMEOUT')
  const changes = await take(live, 3)
  expect(changes.map(said)).toEqual([`${one} STUCK over`, `${three} STUCK open`, `${one} TOTAL_TIMEOUT open`])
  const all = [...open, ...changes]
  for (const [index, { cursor }] of all.entries()) {
    const rest = all.slice(index + 1)
    const again = await take(follow(cursor), rest.length)
    expect(again.map(said)).toEqual(rest.map(said))
  }
  await expect(follow('nonsense').next()).rejects.toThrow(InvalidCursor)
})
