import { z } from 'zod'
import type { RecordedEvent } from './event.ts'
import { hostIdSchema, runIdSchema } from './ids.ts'
import { type EventFamily, readEvent } from './read-event.ts'
import { proofLevelSchema } from './receipt.ts'

/** All canaries of all hosts are in one stream. */
export const canaryStream = 'canary'

/** What a decoy's runs are called, so that lists can leave them out. */
export const canaryWorkflow = 'runwarden-canary'

const which = {
  host: hostIdSchema,
  /** The decoy. */
  runId: runIdSchema,
}

/** Milliseconds; what did not happen is left out. */
const timingsSchema = z.object({
  /** From the request of the start until every process of the decoy lived. */
  readyMs: z.number().nonnegative().optional(),
  /** From here on since the request of the kill: */
  sigtermMs: z.number().nonnegative().optional(),
  sigkillMs: z.number().nonnegative().optional(),
  provenMs: z.number().nonnegative().optional(),
  /** Until whoever asked had the receipt. */
  answeredMs: z.number().nonnegative().optional(),
})
export type CanaryTimings = z.infer<typeof timingsSchema>

export const canaryTriggers = ['schedule', 'request'] as const
export type CanaryTrigger = (typeof canaryTriggers)[number]

/** `start`: the decoy did not come to life. `kill`: it did not end by the kill. `proof`: the receipt does not prove its end. */
export const canaryPhases = ['start', 'kill', 'proof'] as const
export type CanaryPhase = (typeof canaryPhases)[number]

/** The current schema of every event of the stream `canary`, by type. */
export const canaryEventSchemas = {
  /** Recorded before anything is done. */
  CanaryStarted: z.object({ ...which, trigger: z.enum(canaryTriggers) }),
  /** The decoy was killed, and its receipt names and proves every process of it. */
  CanaryPassed: z.object({ ...which, level: proofLevelSchema, processes: z.number().int(), timings: timingsSchema }),
  CanaryFailed: z.object({
    ...which,
    phase: z.enum(canaryPhases),
    /** For people. */
    message: z.string().max(1000),
    timings: timingsSchema,
  }),
  /** Nothing can be said: no slot was free, or the server ended in the middle. */
  CanarySkipped: z.object({ ...which, why: z.string().max(1000) }),
} as const

export const canaryEvents: EventFamily<typeof canaryEventSchemas> = { schemas: canaryEventSchemas, upcasters: {} }

export type CanaryEventBody = {
  [Type in keyof typeof canaryEventSchemas]: { type: Type; data: z.infer<(typeof canaryEventSchemas)[Type]> }
}[keyof typeof canaryEventSchemas]
export type CanaryEnd = Exclude<CanaryEventBody, { type: 'CanaryStarted' }>

export type RecordedCanaryEvent = {
  [Type in keyof typeof canaryEventSchemas]: RecordedEvent<Type, z.infer<(typeof canaryEventSchemas)[Type]>>
}[keyof typeof canaryEventSchemas]

/** undefined for an event that is no canary's. @throws Error when the data does not fit its schema. */
export function readCanaryEvent(event: RecordedEvent): RecordedCanaryEvent | undefined {
  return readEvent(canaryEvents, event)
}
