import { runAt } from '../src/control/queries/run-at.ts'
import { foldRun } from '../src/domain/fold-run.ts'
import { type RunId, runOfStream, runStream, telemetryStream } from '../src/domain/ids.ts'
import type { RunState } from '../src/domain/run-state.ts'
import type { EventStore } from '../src/event-store/event-store.ts'
import { type Bench, percentile } from './bench.ts'
import { timed, withHistory } from './projecting.ts'

const events = 100_000
/** Replays of runs that are spread over the whole history. */
const replays = 300

const say = (text: string) => void process.stderr.write(`replay: ${text}\n`)

/** A run as it was at its end, out of a store with many; and every run of the store, folded from its events. */
export const replay: Bench = {
  name: 'replay',
  run: () =>
    withHistory(events, say, async ({ store, pool, database, events }) => {
      const runs = await runsOf(store)
      const chosen = Array.from(
        { length: replays },
        (_, nth) => runs[Math.floor((nth * runs.length) / replays)] as RunId,
      )
      const now = new Date('2100-01-01T00:00:00.000Z')
      const readRows = (run: RunId) =>
        pool.query({
          name: 'rows',
          text: 'SELECT * FROM event_store.events WHERE stream = ANY($1) ORDER BY position',
          values: [[runStream(run), telemetryStream(run)]],
        })
      say(`replaying ${replays} of ${runs.length} runs`)
      const ours: number[] = []
      const theirs: number[] = []
      const eventsOf: number[] = []
      for (const run of chosen) {
        ours.push(await milliseconds(() => runAt(store, run, { time: now.toISOString() }, now)))
        theirs.push(await milliseconds(async () => eventsOf.push((await readRows(run)).rows.length)))
      }
      say('folding all of them')
      const all = await timed(events, database, () => foldAll(store))
      const [p50, p99] = [percentile(ours, 50), percentile(ours, 99)]
      return {
        figures: {
          runP50Ms: p50,
          runP99Ms: p99,
          eventsOfRunP50Count: percentile(eventsOf, 50),
          foldAllEventsPerSecond: all.perSecond,
          foldAllNodeCpuMs: all.nodeCpuMs,
          eventsCount: events,
        },
        // The same events of the same runs, as rows: nothing is folded.
        peers: { select: { runP50Ms: percentile(theirs, 50), runP99Ms: percentile(theirs, 99) } },
        ratios: { select: percentile(theirs, 50) / p50 },
      }
    }),
}

async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await work()
  return performance.now() - begun
}

async function runsOf(store: EventStore): Promise<RunId[]> {
  const runs = new Set<RunId>()
  for await (const { stream, type } of store.readAll(0)) {
    const run = type === 'RunRequested' ? runOfStream(stream) : undefined
    if (run !== undefined) runs.add(run)
  }
  return [...runs]
}

async function foldAll(store: EventStore): Promise<void> {
  const states = new Map<RunId, RunState | undefined>()
  for await (const event of store.readAll(0)) {
    const run = /^(run|telemetry)-/.test(event.stream) ? runOfStream(event.stream) : undefined
    if (run !== undefined) states.set(run, foldRun(states.get(run), event))
  }
}
