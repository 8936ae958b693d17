import { randomUUID } from 'node:crypto'
import { type AuditEventBody, auditEvents } from '../domain/audit-events.ts'
import type { NewEvent } from '../domain/event.ts'
import { auditStream, runIdSchema } from '../domain/ids.ts'
import { versionIn } from '../domain/read-event.ts'
import { type EventStore, StoreUnavailable } from '../event-store/event-store.ts'
import type { AuditSpool } from './audit-spool.ts'
import type { RequestContext } from './control.ts'

type Attempted = Extract<AuditEventBody, { type: 'ActionAttempted' }>['data']

export type Attempt = Pick<Attempted, 'action' | 'target' | 'reason' | 'details'>

export type Acted<Result> = {
  result: Result
  /** A code, such as ACCEPTED, JOINED, RunNotFound. */
  outcome: string
  /** For people. */
  detail: string
}

/** Where every attempt is recorded, refused ones too: in the store, or while that is away in a spool on disk. */
export type AuditLog = {
  /**
   * The one way to act on somebody's wish: the attempt is recorded, then `act` runs, then its outcome is recorded.
   * @param options.evenWhileAway the attempt may be recorded in the spool instead; `act` is told where it is
   * @throws StoreUnavailable before `act` when the attempt could not be recorded: nothing was done.
   */
  allowed<Result>(
    context: RequestContext,
    attempt: Attempt,
    act: (recordedIn: 'store' | 'spool') => Promise<Acted<Result>>,
    options?: { evenWhileAway: boolean },
  ): Promise<Result>
  /** Records an attempt that was turned down. Never throws because the store is away. */
  denied(context: RequestContext, attempt: Attempt, why: string): Promise<void>
}

/** @param followed waits until readers can see what was recorded up to a position. */
export function createAuditLog(
  store: Pick<EventStore, 'append'>,
  spool: AuditSpool,
  now: () => Date,
  followed: (position: number) => Promise<void>,
): AuditLog {
  async function recordOrSpool(stream: string, event: NewEvent): Promise<void> {
    try {
      const appended = await store.append(stream, [event], 'any')
      if (appended.outcome === 'appended') await followed(appended.position)
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      await spool.add(stream, event)
    }
  }

  async function allowed<Result>(
    context: RequestContext,
    attempt: Attempt,
    act: (recordedIn: 'store' | 'spool') => Promise<Acted<Result>>,
    { evenWhileAway } = { evenWhileAway: false },
  ): Promise<Result> {
    const attemptId = randomUUID()
    const stream = streamOf(attempt)
    const data = { ...clipped(attempt), attemptId, decision: 'allowed' as const, why: 'permitted' }
    const attempted = auditEvent({ type: 'ActionAttempted', data }, context, now)
    let recordedIn: 'store' | 'spool' = 'store'
    try {
      await store.append(stream, [attempted], 'any')
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      if (!evenWhileAway) {
        await denied(context, attempt, `STORE_UNAVAILABLE: ${error.message}`)
        throw error
      }
      await spool.add(stream, attempted)
      recordedIn = 'spool'
    }
    const complete = ({ outcome, detail }: Omit<Acted<Result>, 'result'>) => {
      const data = { attemptId, outcome, detail: detail.slice(0, 2000) }
      const completed = auditEvent({ type: 'ActionCompleted', data }, context, now)
      return recordedIn === 'spool' ? spool.add(stream, completed) : recordOrSpool(stream, completed)
    }
    let acted: Acted<Result>
    try {
      acted = await act(recordedIn)
    } catch (error) {
      await complete({
        outcome: error instanceof StoreUnavailable ? 'STORE_UNAVAILABLE' : 'FAILED',
        detail: (error as Error).message,
      })
      throw error
    }
    await complete(acted)
    return acted.result
  }

  async function denied(context: RequestContext, attempt: Attempt, why: string): Promise<void> {
    const data = { ...clipped(attempt), attemptId: randomUUID(), decision: 'denied' as const, why: why.slice(0, 1000) }
    await recordOrSpool(streamOf(attempt), auditEvent({ type: 'ActionAttempted', data }, context, now))
  }

  return { allowed, denied }
}

function streamOf(attempt: Attempt): string {
  const runId = runIdSchema.safeParse(attempt.target)
  return auditStream(runId.success ? runId.data : undefined)
}

/** Inputs that were refused for being too long are recorded all the same. */
const clipped = (attempt: Attempt): Attempt => ({
  ...attempt,
  target: attempt.target?.slice(0, 200) ?? null,
  reason: attempt.reason?.slice(0, 2000) ?? null,
})

function auditEvent(body: AuditEventBody, context: RequestContext, now: () => Date): NewEvent {
  return {
    ...body,
    v: versionIn(auditEvents, body.type),
    metadata: {
      eventId: randomUUID(),
      actor: context.actor,
      correlationId: context.correlationId,
      occurredAt: now().toISOString(),
    },
  }
}
