import { randomUUID } from 'node:crypto'
import {
  type CanaryEnd,
  type CanaryEventBody,
  type CanaryPhase,
  type CanaryTimings,
  type CanaryTrigger,
  canaryEvents,
  canaryStream,
  type RecordedCanaryEvent,
  readCanaryEvent,
} from '../domain/canary-events.ts'
import type { Actor } from '../domain/event.ts'
import type { HostId, RunId } from '../domain/ids.ts'
import { versionIn } from '../domain/read-event.ts'
import type { ProofLevel } from '../domain/receipt.ts'
import type { EventStore } from '../event-store/event-store.ts'
import type { RequestContext } from './control.ts'

/** One canary and what came of it. */
export type CanaryResult = {
  /** Its decoy; of one that was SKIPPED there may be no such run. */
  runId: RunId
  host: HostId
  trigger: CanaryTrigger
  requestedBy: Actor
  startedAt: string
  /** null: it goes on. */
  endedAt: string | null
  outcome: 'RUNNING' | 'PASSED' | 'FAILED' | 'SKIPPED'
  /** Where it failed. */
  phase: CanaryPhase | null
  /** For people: why it failed or was skipped. */
  message: string | null
  level: ProofLevel | null
  /** How many processes the receipt names. */
  processes: number | null
  timings: CanaryTimings
}

export type CanaryLog = {
  /** Records that one begins. @throws StoreUnavailable */
  begin(data: DataOf<'CanaryStarted'>, context: RequestContext): Promise<CanaryResult>
  /** Records what came of it. @throws StoreUnavailable */
  end(begun: CanaryResult, end: CanaryEnd, context: RequestContext): Promise<CanaryResult>
  /** Newest first, at most `count`. @throws StoreUnavailable */
  results(count: number, host?: HostId): Promise<CanaryResult[]>
}

type DataOf<Type extends CanaryEventBody['type']> = Extract<CanaryEventBody, { type: Type }>['data']

/** Each canary is two events, and those of other hosts are in between. */
const eventsPerResult = 8

export function createCanaryLog(store: EventStore, now: () => Date): CanaryLog {
  async function append(body: CanaryEventBody, { actor, correlationId }: RequestContext): Promise<string> {
    const occurredAt = now().toISOString()
    const metadata = { eventId: randomUUID(), actor, correlationId, occurredAt }
    await store.append(canaryStream, [{ ...body, v: versionIn(canaryEvents, body.type), metadata }], 'any')
    return occurredAt
  }

  return {
    async begin(data, context) {
      const startedAt = await append({ type: 'CanaryStarted', data }, context)
      return begun(data, context.actor, startedAt)
    },
    async end(result, end, context) {
      const endedAt = await append(end, context)
      return { ...result, endedAt, ...saidOf(end) }
    },
    async results(count, host) {
      const ends = new Map<RunId, RecordedCanaryEvent>()
      const found: CanaryResult[] = []
      const newest = { direction: 'backwards' as const, maxCount: count * eventsPerResult }
      for await (const recorded of store.readStream(canaryStream, newest)) {
        const event = readCanaryEvent(recorded)
        if (event === undefined || (host !== undefined && event.data.host !== host)) continue
        if (event.type === 'CanaryStarted') found.push(resultOf(event, ends.get(event.data.runId)))
        else ends.set(event.data.runId, event)
        if (found.length === count) break
      }
      return found
    },
  }
}

type RecordedStart = Extract<RecordedCanaryEvent, { type: 'CanaryStarted' }>

function resultOf({ data, metadata }: RecordedStart, end: RecordedCanaryEvent | undefined): CanaryResult {
  const result = begun(data, metadata.actor, metadata.occurredAt)
  if (end === undefined || end.type === 'CanaryStarted') return result
  return { ...result, endedAt: end.metadata.occurredAt, ...saidOf(end) }
}

const begun = (data: DataOf<'CanaryStarted'>, requestedBy: Actor, startedAt: string): CanaryResult => ({
  ...{ ...data, requestedBy, startedAt, endedAt: null, outcome: 'RUNNING', phase: null, message: null },
  ...{ level: null, processes: null, timings: {} },
})

function saidOf(end: CanaryEnd): Partial<CanaryResult> {
  if (end.type === 'CanarySkipped') return { outcome: 'SKIPPED', message: end.data.why }
  if (end.type === 'CanaryFailed') {
    const { phase, message, timings } = end.data
    return { outcome: 'FAILED', phase, message, timings }
  }
  const { level, processes, timings } = end.data
  return { outcome: 'PASSED', level, processes, timings }
}
