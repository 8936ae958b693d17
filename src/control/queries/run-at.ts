import type { RecordedEvent } from '../../domain/event.ts'
import { foldRun } from '../../domain/fold-run.ts'
import { runIdSchema, runStream, telemetryStream } from '../../domain/ids.ts'
import { readRunEvent } from '../../domain/run-events.ts'
import type { RunState } from '../../domain/run-state.ts'
import type { EventStore } from '../../event-store/event-store.ts'

/** Right after an event of the run's stream, or at a time (ISO 8601). */
export type Moment = { revision: number } | { time: string }

/**
 * A run as it was. `asOf`: of which moment, ISO 8601 UTC; its verdict and its ages are those of then.
 * `heartbeatsRetired`: retention has removed heartbeats from before it, so what the run said and used is not all known.
 */
export type ReplayedRun = RunState & { asOf: string; heartbeatsRetired: boolean }

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
    return replay(events, heartbeats, latest([...events, ...heartbeats]))
  }
  const asOf = Math.min(Date.parse(moment.time), now.getTime())
  const happened = (event: RecordedEvent) => timeOf(event) <= asOf
  const events = await beginning(store, lifecycle, happened)
  const heartbeats = await beginning(store, telemetry, happened)
  return replay(events, heartbeats, asOf)

  /** Position order is the order in which the projection met them. */
  async function replay(events: RecordedEvent[], heartbeats: RecordedEvent[], asOf: number) {
    const inOrder = [...events, ...heartbeats].toSorted((a, b) => a.position - b.position)
    const state = inOrder.reduce<RunState | undefined>(foldRun, undefined)
    if (state === undefined) return undefined
    // A summary says all that they said.
    const heartbeatsRetired = !events.some(isSummary) && (await areRetired(store, lifecycle, telemetry))
    return { ...state, asOf: new Date(asOf).toISOString(), heartbeatsRetired }
  }
}

const isSummary = ({ type }: RecordedEvent) => type === 'TelemetrySummarised'

/** Whether retention has removed heartbeats, some or all. */
async function areRetired(store: EventStore, lifecycle: string, telemetry: string): Promise<boolean> {
  for await (const { revision } of store.readStream(telemetry, { maxCount: 1 })) return revision > 0
  for await (const event of store.readStream(lifecycle, { direction: 'backwards' })) {
    const summary = readRunEvent(event)
    if (summary?.type === 'TelemetrySummarised') return summary.data.lastHeartbeatAt !== undefined
  }
  return false
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
