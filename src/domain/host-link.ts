import { z } from 'zod'
import type { OpenSection, SectionLimits } from './critical-section.ts'
import { type Actor, actorSchema } from './event.ts'
import type { HostId, RunId } from './ids.ts'
import type { LaunchSpec } from './launch.ts'
import type { DiskSpace } from './low-disk.ts'
import type { ProcessIdentity } from './process-identity.ts'
import { type proofLevelSchema, type Receipt, receiptSchema } from './receipt.ts'
import { type KillKind, runEventSchemas } from './run-events.ts'

/** What a host observed of a run. Named like the events they become, but for those whose meaning is for the decider. */
export const factBodySchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('RunStarted'), data: runEventSchemas.RunStarted }),
  z.object({ type: z.literal('RunAdopted'), data: runEventSchemas.RunAdopted }),
  /** No process was ever launched, and none will be. `code`: such as EXECUTABLE_NOT_FOUND, WORKSPACE_UNREADABLE. */
  z.object({
    type: z.literal('LaunchFailed'),
    data: z.object({ code: z.string(), message: z.string().max(2000) }),
  }),
  z.object({ type: z.literal('RunPaused'), data: runEventSchemas.RunPaused }),
  z.object({ type: z.literal('RunResumed'), data: runEventSchemas.RunResumed }),
  z.object({ type: z.literal('SamplingInterrupted'), data: runEventSchemas.SamplingInterrupted }),
  z.object({ type: z.literal('PhaseChanged'), data: runEventSchemas.PhaseChanged }),
  z.object({ type: z.literal('TurnCompleted'), data: runEventSchemas.TurnCompleted }),
  z.object({ type: z.literal('CriticalSectionEntered'), data: runEventSchemas.CriticalSectionEntered }),
  z.object({ type: z.literal('CriticalSectionExited'), data: runEventSchemas.CriticalSectionExited }),
  z.object({ type: z.literal('HeartbeatRecorded'), data: runEventSchemas.HeartbeatRecorded }),
  /** Asked of the host itself while the store was away, at the fact's time; it precedes every signal of that kill. */
  z.object({
    type: z.literal('EmergencyKillRequested'),
    data: z.object({
      requestedBy: actorSchema,
      correlationId: z.string(),
      reason: z.string().max(2000).nullable(),
      proofDeadlineMs: z.number().int().positive(),
      idempotencyKey: z.string().max(200).optional(),
    }),
  }),
  z.object({ type: z.literal('KillDeferred'), data: runEventSchemas.KillDeferred }),
  z.object({ type: z.literal('SigtermSent'), data: runEventSchemas.SigtermSent }),
  z.object({ type: z.literal('SigkillSent'), data: runEventSchemas.SigkillSent }),
  z.object({ type: z.literal('ProcessExited'), data: runEventSchemas.ProcessExited }),
  z.object({ type: z.literal('TelemetrySummarised'), data: runEventSchemas.TelemetrySummarised }),
  /** Nothing of the tree is left: `receipt.proven`. Also of a run that was killed before its launch. */
  z.object({ type: z.literal('TreeGone'), data: z.object({ receipt: receiptSchema }) }),
  /** The deadline passed without proof: `!receipt.proven`. */
  z.object({ type: z.literal('TreeNotProven'), data: z.object({ receipt: receiptSchema }) }),
  z.object({ type: z.literal('WorkspaceSalvaged'), data: runEventSchemas.WorkspaceSalvaged }),
  z.object({ type: z.literal('CleanupStepCompleted'), data: runEventSchemas.CleanupStepCompleted }),
  z.object({ type: z.literal('CleanupStepFailed'), data: runEventSchemas.CleanupStepFailed }),
  z.object({ type: z.literal('RunCleaned'), data: runEventSchemas.RunCleaned }),
])
export type FactBody = z.infer<typeof factBodySchema>

/** Facts of one run are numbered from 1 without a gap; (host, runId, sequence) is one fact, however often it arrives. */
export const factSchema = z.object({
  host: z.string(),
  runId: z.string(),
  sequence: z.number().int().positive(),
  occurredAt: z.iso.datetime(),
  body: factBodySchema,
})
export type Fact = { host: HostId; runId: RunId; sequence: number; occurredAt: string; body: FactBody }

/** What should be true of one run on its host. Folded from the run's own stream; sending it again changes nothing. */
export type DesiredRun = {
  runId: RunId
  /** Where RunRequested stands in the store: runs wait for a slot in this order. */
  order: number
  work:
    | { kind: 'launch'; launch: LaunchSpec }
    | { kind: 'supervise'; root: ProcessIdentity; workspacePath: string | null }
  /** null: it should live. A later call may make it stronger, never weaker. */
  kill: DesiredKill | null
  /** Whether it should stand still while it lives; absent: nobody ever asked. A kill comes first. */
  pause?: DesiredPause
  /** The grace and deadline for processes that outlive a root that exited by itself. */
  leftovers: { graceMs: number; proofDeadlineMs: number }
  /** The highest fact number that the store has of this run; the host numbers on above it. */
  factSequence: number
}

/** `revision`: of the event that asked for it. A wish with a lower one than another's is out of date. */
export type DesiredPause = { paused: boolean; revision: number }

export type DesiredKill = {
  kind: KillKind
  requestedAt: string
  graceMs: number
  proofDeadlineMs: number
  /** Of a graceful one: how long it waits for critical sections. Absent: not at all. */
  sectionLimits?: SectionLimits
}

/** A look at all that can be known of a live run: its processes, and what it has said of itself, read to the end. */
export type Sample = {
  /** When it was complete. */
  at: string
  /** The highest number among the run's facts by then: what was seen is in the store once all up to it are. */
  factSequence: number
  /** All facts up to this one are known to be in the store by now. */
  acknowledged: number
}

/** A kill that the store cannot be told of first. */
export type EmergencyKill = {
  runId: RunId
  requestedBy: Actor
  requestedAt: string
  correlationId: string
  reason: string | null
  idempotencyKey?: string | undefined
}

/** `joined`: an emergency kill was under way already. `over`: nothing of the run was left. */
export type EmergencyKillOutcome = 'accepted' | 'joined' | 'over'

/** How far the end of a run is, as its host's own journals say. */
export type RunEnd = {
  /** Nothing of its tree is left, or none was ever launched. */
  over: boolean
  /** The proof, or what stands in its way; null: neither yet, or the launch failed. */
  receipt: Receipt | null
  cleanup: 'NONE' | 'RUNNING' | 'DONE' | 'FAILED'
}

export type OutputChunk = {
  /** Logical offset of the first byte of `data`; larger than what was asked for when older output is gone. */
  offset: number
  /** Where to go on reading. */
  next: number
  data: Uint8Array
  /** Nothing will follow `next`: the run's tree is gone and the file is read to its end. */
  ended: boolean
}

/** Why a process may not be registered. */
export type RegistrationRefusal = {
  code: 'NO_SUCH_PROCESS' | 'PROTECTED_PROCESS' | 'KERNEL_THREAD' | 'MEMBER_OF_ANOTHER_RUN'
  message: string
}

/** What this host can do, for people and for `runwarden doctor`. */
export type HostReport = {
  hostId: HostId
  hostname: string
  platform: string
  bootId: string
  level: z.infer<typeof proofLevelSchema>
  /** Why the level is what it is. */
  levelDetail: string
  checks: { name: string; ok: boolean; detail: string }[]
  slots: { capacity: number; used: number; waiting: number }
  /** The file systems that it writes to, as it saw them last; none: they are not watched. */
  disks: DiskSpace[]
}

/** The one interface between control and a host. */
export interface HostLink {
  readonly hostId: HostId
  /** Resolves once the wish is on the host's disk; the host then works towards it, across restarts. */
  want(run: DesiredRun): Promise<void>
  /**
   * Kills a run that is on the host's disk, whatever the store knows of it. Resolves once that is journalled as the fact
   * EmergencyKillRequested; the kill then goes on by itself, across restarts, and no later wish makes it weaker.
   * undefined: this host has no such run.
   */
  emergencyKill(kill: EmergencyKill): Promise<EmergencyKillOutcome | undefined>
  /**
   * Resolves when the run is over (and cleaned up, where `cleaned`), when its kill could not be proven, or when the
   * signal aborts, with how far its end is then. undefined: this host has no such run.
   */
  awaitEnd(runId: RunId, cleaned: boolean, signal: AbortSignal): Promise<RunEnd | undefined>
  /** Runs on the host's disk that are not finished (cleaned, and every fact acknowledged). */
  known(): Promise<RunId[]>
  /** Facts not yet acknowledged, each run's in order; waits for more. A batch holds at most 500. Ends on abort. */
  facts(signal: AbortSignal): AsyncIterable<Fact[]>
  /** Every fact of the run up to `sequence` is in the store: the host need not offer it again. */
  acknowledge(runId: RunId, sequence: number): Promise<void>
  /**
   * Which process this pid is now, and whether it may be registered. Signals nothing. `launch`: its command line and
   * directory, where they can be read and make a launch; its environment is nobody's business.
   */
  inspect(
    pid: number,
  ): Promise<{ ok: true; root: ProcessIdentity; launch?: LaunchSpec } | { ok: false; refusal: RegistrationRefusal }>
  /** undefined when the host has no output of this run. `maxBytes` ≤ 1 MiB. */
  readOutput(runId: RunId, offset: number, maxBytes: number): Promise<OutputChunk | undefined>
  /** Resolves when the run's output has grown past `offset`, has ended, or the signal aborts. */
  outputGrown(runId: RunId, offset: number, signal: AbortSignal): Promise<void>
  /** The last look at this run since this host agent began; undefined: there was none yet, or the run is not live. */
  sampled(runId: RunId): Promise<Sample | undefined>
  /** The critical sections that a live run is in now; undefined: nothing of it lives here. */
  openSections(runId: RunId): Promise<OpenSection[] | undefined>
  report(): Promise<HostReport>
}
