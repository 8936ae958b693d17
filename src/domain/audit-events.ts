import { z } from 'zod'
import type { RecordedEvent } from './event.ts'
import { type EventFamily, readEvent } from './read-event.ts'

/** What somebody can try. A name of a mutation, as people know it. */
export const auditActions = [
  'authenticate',
  'startRun',
  'killRun',
  'restartRun',
  'forceCompleteRun',
  'pauseRun',
  'resumeRun',
  'registerProcess',
  'defineWorkflow',
  'rebuildProjections',
  'skipProjectionEvent',
  'runCanary',
] as const
export type AuditAction = (typeof auditActions)[number]

export const auditEventSchemas = {
  /** Recorded before anything is done. */
  ActionAttempted: z.object({
    attemptId: z.uuid(),
    /** An {@link AuditAction}, or one that only a newer Runwarden knows. */
    action: z.string().min(1).max(100),
    /** What it was aimed at, as it was given; at most 200 characters. */
    target: z.string().max(200).nullable(),
    reason: z.string().max(2000).nullable(),
    /** Further details that matter for the record, such as `{force: true}`. */
    details: z.record(z.string(), z.unknown()),
    decision: z.enum(['allowed', 'denied']),
    /** Why it was decided so. */
    why: z.string().max(1000),
  }),
  /** What came of it. `outcome`: a code such as ACCEPTED, JOINED, RunNotFound, AlreadyEnded. */
  ActionCompleted: z.object({
    attemptId: z.uuid(),
    outcome: z.string().max(100),
    detail: z.string().max(2000),
  }),
} as const

export const auditEvents: EventFamily<typeof auditEventSchemas> = {
  schemas: auditEventSchemas,
  // Version 1 took only the actions that there were then: each new one would have stopped every older reader.
  upcasters: { ActionAttempted: [(data) => data] },
}

export type AuditEventType = keyof typeof auditEventSchemas
type DataOf<Type extends AuditEventType> = z.infer<(typeof auditEventSchemas)[Type]>
export type AuditEventBody =
  | { type: 'ActionAttempted'; data: DataOf<'ActionAttempted'> & { action: AuditAction } }
  | { type: 'ActionCompleted'; data: DataOf<'ActionCompleted'> }
export type RecordedAuditEvent = {
  [Type in AuditEventType]: RecordedEvent<Type, DataOf<Type>>
}[AuditEventType]

/** undefined for an event that is none of the audit's. @throws Error when the data does not fit its schema. */
export function readAuditEvent(event: RecordedEvent): RecordedAuditEvent | undefined {
  return readEvent(auditEvents, event)
}
