import { z } from 'zod'
import {
  openSectionSchema,
  openSectionsMax,
  sectionIdSchema,
  sectionKindSchema,
  sectionLimitsSchema,
} from './critical-section.ts'
import type { NewEvent, RecordedEvent } from './event.ts'
import { hostIdSchema, runIdSchema } from './ids.ts'
import { labelsSchema } from './labels.ts'
import { launchSpecSchema } from './launch.ts'
import { outOfMemorySchema } from './out-of-memory.ts'
import { policySchema } from './policy.ts'
import { processIdentitySchema } from './process-identity.ts'
import { type EventFamily, readEvent, versionsIn } from './read-event.ts'
import { proofLevelSchema, receiptSchema, rootExitSchema } from './receipt.ts'
import { limitReportsSchema } from './resource-limits.ts'
import { salvageSchema } from './salvage.ts'

export const usageSchema = z.object({
  inputTokens: z.number().nonnegative().optional(),
  outputTokens: z.number().nonnegative().optional(),
  cacheReadTokens: z.number().nonnegative().optional(),
  cacheCreationTokens: z.number().nonnegative().optional(),
  costUsd: z.number().nonnegative().optional(),
})
/** Totals since the run's start. */
export type Usage = z.infer<typeof usageSchema>

/**
 * `graceful`: SIGTERM, grace, SIGKILL. `force`: SIGKILL at once.
 * `emergency`: `force` that also works while the event store is away.
 */
export const killKindSchema = z.enum(['graceful', 'force', 'emergency'])
export type KillKind = z.infer<typeof killKindSchema>

/** `RECORDED`: as the run was started. `CURRENT`: as its workflow is defined now. */
export const restartDefinitionSchema = z.enum(['RECORDED', 'CURRENT'])
export type RestartDefinition = z.infer<typeof restartDefinitionSchema>

export const forcedOutcomeSchema = z.enum(['COMPLETED', 'FAILED'])
export type ForcedOutcome = z.infer<typeof forcedOutcomeSchema>

/** What was last known of a live run. */
const progressShape = {
  progressPercent: z.number().min(0).max(100).optional(),
  usage: usageSchema.optional(),
  /** The last line of output that is not blank, redacted, at most 500 characters. */
  lastOutput: z.string().max(500).optional(),
  /** Logical size of the output so far, in bytes. */
  outputBytes: z.number().int().nonnegative().optional(),
  /** Live members of the tree. */
  processes: z.number().int().nonnegative().optional(),
  /** Of the tree: CPU time used so far, resident memory now. */
  cpuMs: z.number().nonnegative().optional(),
  rssBytes: z.number().int().nonnegative().optional(),
  /** Of the tree: open file descriptors now; bytes read from and written to storage so far. */
  openFiles: z.number().int().nonnegative().optional(),
  ioReadBytes: z.number().int().nonnegative().optional(),
  ioWriteBytes: z.number().int().nonnegative().optional(),
}

const noticeShape = { code: z.string(), detail: z.string().max(500) }

/** R15. */
export const verdicts = ['NORMAL', 'SLOW', 'STUCK'] as const
export type Verdict = (typeof verdicts)[number]

/** A fact that a verdict or an alert rests on; names that end in `Ms` are milliseconds. */
export const evidenceSchema = z.object({ fact: z.string().max(100), value: z.string().max(1000) })
export type Evidence = z.infer<typeof evidenceSchema>

const exitShape = { rootExit: rootExitSchema.nullable(), receipt: receiptSchema }

/** The current schema of every event of a run's streams, by type. */
export const runEventSchemas = {
  RunRequested: z.object({
    runId: runIdSchema,
    workflow: z.string().min(1).max(200),
    origin: z.enum(['launched', 'registered']),
    host: hostIdSchema,
    /** null for a registered process, which something else launched. */
    launch: launchSpecSchema.nullable(),
    /** Of a registered process: what to supervise. */
    registered: z
      .object({
        root: processIdentitySchema,
        workspacePath: z.string().nullable(),
        /** How it was started, as far as the process table tells; what a restart launches. */
        launch: launchSpecSchema.optional(),
      })
      .nullable(),
    policy: policySchema,
    labels: labelsSchema,
    idempotencyKey: z.string().max(200).optional(),
    /** Of the workflow's definition that the run was started with; absent where it was started from a command line. */
    workflowVersion: z.number().int().positive().optional(),
    /** The run that this one was started in place of. */
    restartOf: runIdSchema.optional(),
  }),
  RunStarted: z.object({
    attempt: z.number().int().positive(),
    root: processIdentitySchema,
    /** null for a registered process: it has no shim, so nobody will learn its exit status. */
    shim: processIdentitySchema.nullable(),
    workspacePath: z.string().nullable(),
    level: proofLevelSchema,
    limits: limitReportsSchema,
    /** When the root process began, by the host's clock. */
    startedAt: z.iso.datetime(),
  }),
  /** The host agent came back and found the run as it had left it. */
  RunAdopted: z.object({ root: processIdentitySchema }),
  /**
   * For so long nobody looked: the host agent was not there, or the machine slept. A clock that was set back gives a
   * negative gap. What was not sampled is not age (invariant 9).
   */
  SamplingInterrupted: z.object({
    gapMs: z.number().int(),
    cause: z.enum(['agent-down', 'suspended', 'clock-set']),
  }),
  PhaseChanged: z.object({ phase: z.string().min(1).max(100) }),
  TurnCompleted: z.object({ turn: z.number().int().positive() }),
  /** The run says that it should not be cut off now. */
  CriticalSectionEntered: z.object({
    id: sectionIdSchema,
    kind: sectionKindSchema,
    /** For people, redacted: what is done in it. */
    detail: z.string().max(200),
    expectedMs: z.number().nonnegative().optional(),
    /** Who is in it; absent: nobody knows. The section ends with this process, whatever else the run says. */
    process: processIdentitySchema.optional(),
  }),
  CriticalSectionExited: z.object({
    id: sectionIdSchema,
    /** `exited`: the run said so. `process-ended`: it did not, and the process that was in it is gone. */
    cause: z.enum(['exited', 'process-ended']),
  }),
  /** Recorded by the monitor when the verdict has changed; the first, NORMAL, goes without saying. */
  RunClassified: z.object({
    verdict: z.enum(verdicts),
    previous: z.enum(verdicts),
    /** Which line of R15 decided. */
    rule: z.string().max(100),
    explanation: z.string().max(1000),
    evidence: z.array(evidenceSchema).max(50),
  }),
  KillRequested: z.object({
    kind: killKindSchema,
    reason: z.string().max(2000).nullable(),
    graceMs: z.number().int().nonnegative(),
    proofDeadlineMs: z.number().int().positive(),
    /** How long it waits for critical sections; absent: not at all. */
    sectionLimits: sectionLimitsSchema.optional(),
    idempotencyKey: z.string().max(200).optional(),
  }),
  /** It waits, at the latest until then, for the run to leave these sections. Told anew when it waits longer. */
  KillDeferred: z.object({
    until: z.iso.datetime(),
    sections: z.array(openSectionSchema).min(1).max(openSectionsMax),
  }),
  /** The new run is made when this one has ended; everything it needs is recorded here. */
  RestartRequested: z.object({
    newRunId: runIdSchema,
    definition: restartDefinitionSchema,
    workflow: z.string().min(1).max(200),
    workflowVersion: z.number().int().positive().optional(),
    launch: launchSpecSchema,
    policy: policySchema,
    /** Absent: those of the old run. */
    labels: labelsSchema.optional(),
    reason: z.string().max(2000).nullable(),
  }),
  RunRestarted: z.object({ newRunId: runIdSchema }),
  /** What is wanted from here on; the host then says when it is so. */
  PauseRequested: z.object({ reason: z.string().max(2000).nullable() }),
  ResumeRequested: z.object({ reason: z.string().max(2000).nullable() }),
  /** Nobody of its tree runs any more. `request`: revision of the PauseRequested that this carries out. */
  RunPaused: z.object({
    request: z.number().int().nonnegative(),
    method: z.enum(['cgroup-freeze', 'sigstop']),
    /** Live members of the tree, all of which stand still. */
    processes: z.number().int().nonnegative(),
  }),
  /** Its tree goes on; `request` as of the pause that is over. */
  RunResumed: z.object({
    request: z.number().int().nonnegative(),
    /** `kill`: so that its processes can act on SIGTERM. */
    cause: z.enum(['resume', 'kill']),
  }),
  /** A live run is killed first, and gets this outcome on the receipt. */
  ForceCompleteRequested: z.object({ outcome: forcedOutcomeSchema, reason: z.string().max(2000).nullable() }),
  RunForceCompleted: z.object({ outcome: forcedOutcomeSchema, ...exitShape }),
  /** The first SIGTERM (SIGKILL) of a ladder; `processes` were alive then. */
  SigtermSent: z.object({ processes: z.number().int().nonnegative(), cause: z.enum(['kill', 'leftovers']) }),
  SigkillSent: z.object({ processes: z.number().int().nonnegative(), cause: z.enum(['kill', 'leftovers']) }),
  /** The root process is gone. What it left behind may live on. */
  ProcessExited: rootExitSchema,
  RunKilled: z.object(exitShape),
  KillUnverified: z.object({ receipt: receiptSchema }),
  RunCompleted: z.object(exitShape),
  RunFailed: z.object({
    reason: z.enum(['EXIT_STATUS', 'LAUNCH_FAILED']),
    /** For people. */
    message: z.string().max(2000),
    /** Of LAUNCH_FAILED: such as EXECUTABLE_NOT_FOUND. */
    code: z.string().optional(),
    rootExit: rootExitSchema.nullable(),
    receipt: receiptSchema.nullable(),
  }),
  /** Proven gone; what came of it nobody knows. */
  RunLost: z.object({ receipt: receiptSchema }),
  WorkspaceSalvaged: salvageSchema,
  CleanupStepCompleted: z.object({ step: z.string().max(100), detail: z.string().max(1000) }),
  CleanupStepFailed: z.object({
    step: z.string().max(100),
    error: z.string().max(1000),
    attempt: z.number().int().positive(),
    willRetry: z.boolean(),
  }),
  RunCleaned: z.object({ failedSteps: z.array(z.string()) }),
  /** A fact that no longer fits, kept as it came. */
  LateResultObserved: z.object({ fact: z.string(), data: z.unknown(), status: z.string() }),
  /** All that a run's row takes from telemetry, so that retention may drop the telemetry. */
  TelemetrySummarised: z.object({
    ...progressShape,
    lastHeartbeatAt: z.iso.datetime().optional(),
    peakRssBytes: z.number().int().nonnegative().optional(),
    peakProcesses: z.number().int().nonnegative().optional(),
    peakOpenFiles: z.number().int().nonnegative().optional(),
    /** The last 20 of all heartbeats. */
    notices: z.array(z.object({ ...noticeShape, at: z.iso.datetime() })).optional(),
    /** Absent: the kernel killed none of its processes for memory, or nobody counts that here. */
    outOfMemory: outOfMemorySchema.optional(),
  }),
  HeartbeatRecorded: z.object({
    ...progressShape,
    /** Said once each: such as a progress line that could not be read, or output that was lost. */
    notices: z.array(z.object(noticeShape)).optional(),
  }),
} as const

export type RunEventType = keyof typeof runEventSchemas
export type RunEventData<Type extends RunEventType> = z.infer<(typeof runEventSchemas)[Type]>

type OfType<Envelope extends 'new' | 'recorded'> = {
  [Type in RunEventType]: Envelope extends 'new'
    ? NewEvent<Type, RunEventData<Type>>
    : RecordedEvent<Type, RunEventData<Type>>
}[RunEventType]

export type NewRunEvent = OfType<'new'>
export type RecordedRunEvent = OfType<'recorded'>

/** Type and data: what a decision yields, before an envelope is put around it. */
export type RunEventBody = { [Type in RunEventType]: { type: Type; data: RunEventData<Type> } }[RunEventType]

export const runEvents: EventFamily<typeof runEventSchemas> = { schemas: runEventSchemas, upcasters: {} }

export const runEventVersion = versionsIn(runEvents)

/** Events that belong to `telemetry-…`; all others to `run-…`. */
export const isTelemetry = (type: RunEventType) => type === 'HeartbeatRecorded'

/**
 * Reads a recorded event as an event of a run.
 * @returns undefined for a type or version that only a newer Runwarden knows: folds pass over it.
 * @throws Error when the type is known and the data does not fit its schema.
 */
export function readRunEvent(event: RecordedEvent): RecordedRunEvent | undefined {
  let known = readBefore.get(event)
  if (known === undefined) {
    known = readEvent(runEvents, event) ?? null
    readBefore.set(event, known)
  }
  return known ?? undefined
}

/**
 * Events are never changed, and several read models read the same one: a sixth of a rebuild's time went into the second
 * and the third time. null: of a type or version that is not known.
 */
const readBefore = new WeakMap<RecordedEvent, RecordedRunEvent | null>()
