import type { RecordedEvent } from '../../domain/event.ts'
import { foldRun } from '../../domain/fold-run.ts'
import { runIdSchema, runStream, telemetryStream } from '../../domain/ids.ts'
import type { RunState } from '../../domain/run-state.ts'
import type { EventStore } from '../../event-store/event-store.ts'

/** Right after an event of the run's stream, or at a time (ISO 8601). */
export type Moment = { revision: number } | { time: string }

/** A run as it was. `asOf`: of which moment, ISO 8601 UTC; its verdict and its ages are those of then. */
export type ReplayedRun = RunState & { asOf: string }

/**
 * The run as it was at that moment, heartbeats included (those that retention has removed stand summarised in the
 * stream itself, at the run's end).
 *
 * After a revision it is what the projection showed then. At a time it is the run after the longest beginning of its
 * stream in which nothing is later than that time: so its state is always one that the run really had, never one with
 * holes. An event that tells of an earlier moment than its neighbours (the store was away, or clocks differ) takes
 * effect with them, as it did then. Heartbeats stand in a stream of their own and count by their own times.
 * @param now a time after it is taken for it: nobody knows the future
 * @returns undefined: no such run or revision, or it had not been requested yet
 * @throws StoreUnavailable
 */
export async function runAt(
  store: EventStore,
  id: string,
  moment: Moment,
  now: Date,
): Promise<ReplayedRun | undefined> {
  const runId = runIdSchema.safeParse(id)
  if (!runId.success) return undefined
  const [lifecycle, telemetry] = [runStream(runId.data), telemetryStream(runId.data)]
  if ('revision' in moment) {
    const events = await beginning(store, lifecycle, ({ revision }) => revision <= moment.revision)
    const last = events.at(-1)
    if (last?.revision !== moment.revision) return undefined
    const heartbeats = await beginning(store, telemetry, ({ position }) => position < last.position)
    return replay([...events, ...heartbeats], latest([...events, ...heartbeats]))
  }
  const asOf = Math.min(Date.parse(moment.time), now.getTime())
  const happened = (event: RecordedEvent) => timeOf(event) <= asOf
  const events = await beginning(store, lifecycle, happened)
  const heartbeats = await beginning(store, telemetry, happened)
  return replay([...events, ...heartbeats], asOf)
}

const timeOf = ({ metadata }: RecordedEvent) => Date.parse(metadata.occurredAt)
const latest = (events: readonly RecordedEvent[]) => events.reduce((time, event) => Math.max(time, timeOf(event)), 0)

/** The stream's events up to the first that is not wanted. */
async function beginning(
  store: EventStore,
  stream: string,
  wanted: (event: RecordedEvent) => boolean,
): Promise<RecordedEvent[]> {
  const events: RecordedEvent[] = []
  for await (const event of store.readStream(stream)) {
    if (!wanted(event)) break
    events.push(event)
  }
  return events
}

/** Position order is the order in which the projection met them. */
function replay(events: readonly RecordedEvent[], asOf: number): ReplayedRun | undefined {
  const state = events.toSorted((a, b) => a.position - b.position).reduce<RunState | undefined>(foldRun, undefined)
  return state && { ...state, asOf: new Date(asOf).toISOString() }
}
