import { z } from 'zod'
import type { NewEvent, RecordedEvent } from './event.ts'
import { type RunId, runIdSchema } from './ids.ts'
import { type EventFamily, readEvent } from './read-event.ts'
import { evidenceSchema } from './run-events.ts'

/** What people are alerted to about a run. Each at most once at a time per run. */
export const runAlertKinds = ['INITIALIZATION_WARNING', 'STUCK', 'TOTAL_TIMEOUT', 'KILL_UNVERIFIED'] as const
export type RunAlertKind = (typeof runAlertKinds)[number]

export const alertKinds = [...runAlertKinds, 'CANARY_FAILED', 'LOW_DISK'] as const
export type AlertKind = (typeof alertKinds)[number]

export const alertSeverities = ['WARNING', 'CRITICAL'] as const
export type AlertSeverity = (typeof alertSeverities)[number]

/** How much a person should hurry. */
export const severityOf: Record<AlertKind, AlertSeverity> = {
  INITIALIZATION_WARNING: 'WARNING',
  STUCK: 'CRITICAL',
  TOTAL_TIMEOUT: 'WARNING',
  KILL_UNVERIFIED: 'CRITICAL',
  CANARY_FAILED: 'CRITICAL',
  LOW_DISK: 'CRITICAL',
}

/** The current schema of every event of an `alert-…` stream, by type. */
export const alertEventSchemas = {
  AlertRaised: z.object({
    kind: z.enum(alertKinds),
    severity: z.enum(alertSeverities),
    /** null, as is the workflow: it is about a host. */
    runId: runIdSchema.nullable(),
    workflow: z.string().nullable(),
    /** For people: what is the matter, in one sentence. */
    message: z.string().max(1000),
    evidence: z.array(evidenceSchema).max(50),
  }),
  /** What the alert was about is over. */
  AlertResolved: z.object({ why: z.string().max(1000) }),
} as const

export const alertEvents: EventFamily<typeof alertEventSchemas> = {
  schemas: alertEventSchemas,
  // Version 1 was always about a run.
  upcasters: { AlertRaised: [(data) => data] },
}

export type AlertEventType = keyof typeof alertEventSchemas
export type AlertEventBody = {
  [Type in AlertEventType]: { type: Type; data: z.infer<(typeof alertEventSchemas)[Type]> }
}[AlertEventType]
export type NewAlertEvent = {
  [Type in AlertEventType]: NewEvent<Type, z.infer<(typeof alertEventSchemas)[Type]>>
}[AlertEventType]
export type RecordedAlertEvent = {
  [Type in AlertEventType]: RecordedEvent<Type, z.infer<(typeof alertEventSchemas)[Type]>>
}[AlertEventType]

/** Of a run's alerts: the stream of each is `alert-<key>`. */
export const alertKey = (runId: RunId, kind: RunAlertKind) =>
  `${runId.slice('run_'.length)}-${kind.toLowerCase().replaceAll('_', '-')}`

export const alertStream = (runId: RunId, kind: RunAlertKind) => `alert-${alertKey(runId, kind)}`

/** undefined for an event that is no alert's. @throws Error when the data does not fit its schema. */
export function readAlertEvent(event: RecordedEvent): RecordedAlertEvent | undefined {
  return readEvent(alertEvents, event)
}
