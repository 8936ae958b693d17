import type pg from 'pg'
import { allProjections } from '../projections/all.ts'
import { createProjector, type Projector } from '../projections/projector.ts'
import { runAt } from '../src/control/queries/run-at.ts'
import { listRuns } from '../src/control/queries/runs.ts'
import { listTimeline } from '../src/control/queries/timeline.ts'
import type { RunId } from '../src/domain/ids.ts'
import type { EventStore } from '../src/event-store/event-store.ts'
import { createPostgresEventStore } from '../src/event-store/postgres.ts'
import { openPool } from '../src/postgres/connection.ts'
import { type Bench, drive, type Figures, median, percentile } from './bench.ts'
import { withDatabase } from './database.ts'
import { heartbeat } from './heartbeat.ts'
import { writeHistory } from './history.ts'

/** How many events there are in the end. RUNWARDEN_BENCH_GROWTH_EVENTS=5000000 takes 4 GB of disk and half an hour. */
const total = Number(process.env.RUNWARDEN_BENCH_GROWTH_EVENTS || 300_000)
/** Where it is measured; the others are compared with the first. With fewer events not every page would be full. */
const stages = [...new Set([0.05, 0.25, 0.5, 1].map((share) => Math.max(share * total, 100_000)))]
/** Of each measurement in turn: what slows the machine for a while slows them all. */
const rounds = 9
const appendMs = 250
const runsTried = 40
const now = new Date('2100-01-01T00:00:00.000Z')

const say = (text: string) => void process.stderr.write(`growth: ${text}\n`)

/** What an append, a replay and a page of a list cost while the store grows: they should not notice. */
export const growth: Bench = {
  name: 'growth',
  async run() {
    return withDatabase(async ({ connection }) => {
      const store = createPostgresEventStore({ connection })
      const pool = openPool(connection, { purpose: 'bench' })
      const log = { info() {}, error: (fields: object, message: string) => say(`${message} ${JSON.stringify(fields)}`) }
      const projector = createProjector({ store, pool, projections: allProjections, log })
      try {
        return await grow({ store, pool, projector })
      } finally {
        await projector.close()
        await Promise.all([store.close(), pool.end()])
      }
    })
  },
}

type Grown = { store: EventStore; pool: pg.Pool; projector: Projector }

async function grow(grown: Grown) {
  const taken: Figures[] = []
  const sizes: number[] = []
  grown.projector.start()
  let begun = performance.now()
  let before = 0
  await writeHistory(grown.store, total, async (written) => {
    const stage = stages[taken.length]
    if (stage === undefined || written < stage) return
    await caughtUp(grown)
    const grownPerSecond = (written - before) / ((performance.now() - begun) / 1_000)
    taken.push({ ...(await measure(grown)), appendedAndProjectedPerSecond: grownPerSecond })
    say(`at ${written} events: ${JSON.stringify(taken.at(-1), rounded)}`)
    sizes.push(written)
    before = written
    begun = performance.now()
  })
  const [small = {}, ...larger] = taken
  const large = larger.at(-1) ?? {}
  const slower = (name: string) => (small[name] ?? Number.NaN) / (large[name] ?? Number.NaN)
  const stats = await grown.store.stats()
  return {
    figures: { ...large, eventsCount: stats.events ?? Number.NaN, storeBytes: stats.bytesOnDisk ?? Number.NaN },
    peers: Object.fromEntries(taken.slice(0, -1).map((figures, index) => [`at ${sizes[index]} events`, figures])),
    // What it was with few events, to what it is with many: 1 is flat, less is slower.
    ratios: {
      'fewer events: append, 128 callers': 1 / slower('callers128PerSecond'),
      'fewer events: append, one caller': 1 / slower('oneCallerPerSecond'),
      ...Object.fromEntries(
        Object.keys(large)
          .filter((name) => name.endsWith('P50Ms'))
          .map((name) => [`fewer events: ${name}`, slower(name)]),
      ),
    },
  }
}

const rounded = (_key: string, value: unknown) => (typeof value === 'number' ? Number(value.toPrecision(3)) : value)

async function caughtUp({ store, projector }: Grown): Promise<void> {
  const head = await store.head()
  const signal = AbortSignal.timeout(3_600_000)
  await Promise.all(projector.names.map((name) => projector.waitFor(head, signal, name)))
}

/** Turn by turn, so that each of them meets the same machine. */
async function measure({ store, pool }: Grown): Promise<Figures> {
  const runs = await someRuns(pool)
  const [many, one]: [number[], number[]] = [[], []]
  const times = { replay: [] as number[], page: [] as number[], deepPage: [] as number[], timeline: [] as number[] }
  const deep = await cursorInTheMiddle(pool)
  const append = (caller: number) => store.append(`bench-${caller}`, [heartbeat()], 'any')
  for (let round = 0; round <= rounds; round += 1) {
    const callers128 = (await drive(128, appendMs, append)).perSecond
    const oneCaller = (await drive(1, appendMs, append)).perSecond
    // The first one only warms up.
    if (round === 0) continue
    many.push(callers128)
    one.push(oneCaller)
    for (const id of runs) {
      times.replay.push(await timeOf(() => runAt(store, id, { time: now.toISOString() }, now)))
      times.timeline.push(await timeOf(() => listTimeline(pool, id, { first: 50, after: null })))
      times.page.push(await timeOf(() => listRuns(pool, {}, { first: 50, after: null })))
      times.deepPage.push(await timeOf(() => listRuns(pool, { status: ['KILLED'] }, { first: 50, after: deep })))
    }
  }
  return {
    ...{ callers128PerSecond: median(many), oneCallerPerSecond: median(one) },
    ...{ replayP50Ms: median(times.replay), replayP99Ms: percentile(times.replay, 99) },
    ...{ timelinePageP50Ms: median(times.timeline), timelinePageP99Ms: percentile(times.timeline, 99) },
    ...{ runsPageP50Ms: median(times.page), runsPageP99Ms: percentile(times.page, 99) },
    ...{ killedRunsPageP50Ms: median(times.deepPage), killedRunsPageP99Ms: percentile(times.deepPage, 99) },
  }
}

async function timeOf(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await work()
  return performance.now() - begun
}

/** From anywhere in the history, with about as many events each at every stage. */
async function someRuns(pool: pg.Pool): Promise<RunId[]> {
  const { rows } = await pool.query(
    `SELECT run_id FROM runs WHERE status = 'COMPLETED' AND (state->>'turns')::integer BETWEEN 38 AND 42
     ORDER BY md5(run_id) LIMIT $1`,
    [runsTried],
  )
  return rows.map(({ run_id }) => run_id)
}

async function cursorInTheMiddle(pool: pg.Pool): Promise<string | null> {
  let page = await listRuns(pool, { status: ['KILLED'] }, { first: 500, after: null })
  const { rows } = await pool.query("SELECT count(*) FROM runs WHERE status = 'KILLED'")
  for (let passed = 500; page.hasNextPage && passed < Number(rows[0].count) / 2; passed += 500) {
    page = await listRuns(pool, { status: ['KILLED'] }, { first: 500, after: page.items.at(-1)?.cursor ?? null })
  }
  return page.items[Math.floor(page.items.length / 2)]?.cursor ?? null
}
