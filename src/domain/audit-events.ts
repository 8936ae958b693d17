import { z } from 'zod'
import type { RecordedEvent } from './event.ts'
import { readEvent } from './read-event.ts'

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
  'runCanary',
] as const

export const auditEventSchemas = {
  /** Recorded before anything is done. */
  ActionAttempted: z.object({
    attemptId: z.uuid(),
    action: z.enum(auditActions),
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

export type AuditEventType = keyof typeof auditEventSchemas
export type AuditEventBody = {
  [Type in AuditEventType]: { type: Type; data: z.infer<(typeof auditEventSchemas)[Type]> }
}[AuditEventType]
export type RecordedAuditEvent = {
  [Type in AuditEventType]: RecordedEvent<Type, z.infer<(typeof auditEventSchemas)[Type]>>
}[AuditEventType]

/** undefined for an event that is none of the audit's. @throws Error when the data does not fit its schema. */
export function readAuditEvent(event: RecordedEvent): RecordedAuditEvent | undefined {
  return readEvent(auditEventSchemas, event)
}
