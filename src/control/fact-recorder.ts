import { setImmediate } from 'node:timers/promises'
import { absorb } from '../domain/absorb.ts'
import { type Fact, factSchema, type HostLink } from '../domain/host-link.ts'
import { type RunId, runStream, telemetryStream } from '../domain/ids.ts'
import type { NewRunEvent, RunEventBody } from '../domain/run-events.ts'
import { isTerminal, type RunState } from '../domain/run-state.ts'
import { type EventStore, type Retention, StoreUnavailable } from '../event-store/event-store.ts'
import { delayOrAbort } from './delay.ts'
import { derivedEventId } from './derived-event-id.ts'
import type { Log } from './log.ts'
import { envelope, foldNew, lastTelemetrySequence, loadRun } from './run-log.ts'

export type FactRecorder = {
  /** Records the host's facts until the signal aborts. While the store is away the host keeps them. */
  run(signal: AbortSignal): Promise<void>
  /**
   * Runs with a fact that could not be recorded for another reason than an outage. It stays with the host, which offers
   * it again now and then; once it can be recorded, the run goes on from there.
   */
  stuck(): { runId: RunId; error: string }[]
}

/** What the recorder remembers of a live run, so that a heartbeat does not cost a read of the whole stream. */
type Known = { state: RunState; telemetrySequence: number }

/** `at`: the first fact that may be missing in the store. */
type Stuck = { at: number; error: string }

/** What was read before an append may be outdated by the time of it: that is no reason to be stuck. */
const triesMax = 3

/**
 * From the host to the store: each fact becomes one event, however often it is offered. Its number makes the event's
 * id, and facts up to the highest number in the store are passed over.
 * @param telemetryRetention of the heartbeats of a run that has ended.
 */
export function createFactRecorder(
  store: EventStore,
  host: HostLink,
  log: Log,
  telemetryRetention: Retention,
): FactRecorder {
  const known = new Map<RunId, Known>()
  const stuck = new Map<RunId, Stuck>()

  async function run(signal: AbortSignal): Promise<void> {
    for await (const batch of host.facts(signal)) {
      const byRun = Map.groupBy(batch, (fact) => fact.runId)
      await Promise.all([...byRun].map(([runId, facts]) => recordUntilDone(runId, facts, signal)))
      // A host that is always ahead must not starve the event loop.
      await setImmediate()
    }
  }

  async function recordUntilDone(runId: RunId, facts: Fact[], signal: AbortSignal): Promise<void> {
    const before = stuck.get(runId)
    const at = facts[0]?.sequence ?? 0
    // Nothing overtakes the fact that the run is stuck at.
    if (before !== undefined && at > before.at) return
    let triesLeft = before === undefined ? triesMax : 1
    for (let delay = 50; !signal.aborted; delay = Math.min(delay * 2, 2_000)) {
      try {
        await record(runId, facts, signal)
        stuck.delete(runId)
        return
      } catch (error) {
        known.delete(runId)
        if (!(error instanceof StoreUnavailable)) triesLeft -= 1
        if (triesLeft === 0) {
          stuck.set(runId, { at, error: (error as Error).message })
          if (before === undefined)
            log.error({ err: error, runId }, 'facts of a run cannot be recorded; the host keeps them')
          return
        }
      }
      await delayOrAbort(delay, signal)
    }
  }

  async function record(runId: RunId, facts: Fact[], signal: AbortSignal): Promise<void> {
    while (!(await tryRecord(runId, facts))) {
      if (signal.aborted) return
      known.delete(runId)
    }
    const last = facts.at(-1)
    if (last !== undefined) await host.acknowledge(runId, last.sequence)
    const state = known.get(runId)?.state
    if (state !== undefined && isTerminal(state.status) && state.cleanup.doneAt !== null) known.delete(runId)
  }

  /** false: somebody else appended to the stream meanwhile, and what the facts mean must be decided anew. */
  async function tryRecord(runId: RunId, facts: Fact[]): Promise<boolean> {
    const before = known.get(runId) ?? (await load(runId))
    const lifecycle: NewRunEvent[] = []
    const telemetry: NewRunEvent[] = []
    let { state, telemetrySequence } = before
    for (const fact of facts) {
      if (fact.body.type === 'HeartbeatRecorded' && !isTerminal(state.status)) {
        if (fact.sequence <= telemetrySequence) continue
        telemetry.push(eventOf(fact, fact.body, state))
        telemetrySequence = fact.sequence
      } else if (fact.sequence > state.factSequence) {
        const event = eventOf(fact, absorb(fact.body, state), state)
        lifecycle.push(event)
        state = foldNew(state, [event], runStream(runId))
      }
    }
    const isSummed = lifecycle.some(({ type }) => type === 'TelemetrySummarised') && telemetrySequence > 0
    await Promise.all([
      telemetry.length > 0 && store.append(telemetryStream(runId), telemetry, 'any'),
      // Before the summary is there: after it, a crash in between would leave the heartbeats for ever.
      isSummed && store.setRetention(telemetryStream(runId), telemetryRetention),
    ])
    if (lifecycle.length > 0) {
      const appended = await store.append(runStream(runId), lifecycle, before.state.revision)
      if (appended.outcome !== 'appended') return false
    }
    known.set(runId, { state, telemetrySequence })
    return true
  }

  async function load(runId: RunId): Promise<Known> {
    const loaded = await loadRun(store, runId)
    if (loaded === undefined) throw new Error(`the host reports ${runId}, which this store has never heard of`)
    return { state: loaded.state, telemetrySequence: await lastTelemetrySequence(store, runId) }
  }

  return {
    run,
    stuck: () => [...stuck].map(([runId, { error }]) => ({ runId, error })),
  }
}

function eventOf(fact: Fact, body: RunEventBody, state: RunState): NewRunEvent {
  assertFits(fact)
  return envelope(body, {
    eventId: eventIdOf(fact),
    ...originOf(fact, body, state),
    occurredAt: fact.occurredAt,
    fact: { host: fact.host, sequence: fact.sequence },
  })
}

/** What a host saw follows from the latest request; what it was asked for itself is the asker's, and begins anew. */
function originOf(fact: Fact, body: RunEventBody, { cause }: RunState) {
  if (fact.body.type === 'EmergencyKillRequested' && body.type === 'KillRequested') {
    return { actor: fact.body.data.requestedBy, correlationId: fact.body.data.correlationId }
  }
  const actor = { kind: 'host' as const, id: fact.host }
  return { actor, correlationId: cause.correlationId, causationId: cause.eventId }
}

/** A stream that cannot be read any more would be worse than a fact that is missing: it stops whoever folds it. */
function assertFits(fact: Fact): void {
  const { error } = factSchema.safeParse(fact)
  if (error !== undefined) {
    throw new Error(`fact ${fact.sequence} of ${fact.runId} is no ${fact.body.type}: ${error.message}`, {
      cause: error,
    })
  }
}

/** The same fact always has the same id. */
export const eventIdOf = (fact: Pick<Fact, 'host' | 'runId' | 'sequence'>): string =>
  derivedEventId(`${fact.host}/${fact.runId}/${fact.sequence}`)
