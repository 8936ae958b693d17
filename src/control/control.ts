import type { ProjectionStatus, RebuildResult, Skip } from '../../projections/projector.ts'
import type { OpenSection } from '../domain/critical-section.ts'
import type { Actor, RecordedEvent } from '../domain/event.ts'
import type { HostReport } from '../domain/host-link.ts'
import type { RunId } from '../domain/ids.ts'
import type { Receipt } from '../domain/receipt.ts'
import type { RunState, RunStatus } from '../domain/run-state.ts'
import type { RunPhase } from '../domain/timeline.ts'
import type { WorkflowVersion } from '../domain/workflow.ts'
import type { StoreStats } from '../event-store/event-store.ts'
import type { CanaryResult } from './canary-log.ts'
import type { Alert, AlertFilter } from './queries/alerts.ts'
import type { AuditEntry } from './queries/audit.ts'
import type { AlertChange } from './queries/follow-alerts.ts'
import type { Page, PageRequest } from './queries/page.ts'
import type { Moment, ReplayedRun } from './queries/run-at.ts'
import type { RunFilter } from './queries/run-filter.ts'
import type { TimelineEntry } from './queries/timeline.ts'

/** Who asks, and the id under which everything that follows can be found. */
export type RequestContext = { actor: Actor; correlationId: string }

/** Input that could not be used: nothing was done. */
export type InvalidInput = {
  type: 'InvalidInput'
  message: string
  /** Where (`command.0`, `workspace.path`) and what. */
  issues: { path: string; message: string }[]
}
export type RunNotFound = { type: 'RunNotFound'; message: string; runId: string }
export type AlreadyEnded = { type: 'AlreadyEnded'; message: string; run: RunState }
export type PermissionDenied = { type: 'PermissionDenied'; message: string }
/** The event store is away: nothing was recorded, so nothing was done. */
export type StoreUnavailableFailure = { type: 'StoreUnavailable'; message: string }
export type RunIdTaken = { type: 'RunIdTaken'; message: string; runId: string }
/** The idempotency key was used before, for a different request. */
export type IdempotencyConflict = { type: 'IdempotencyConflict'; message: string; runId: string }
export type RegistrationRefused = { type: 'RegistrationRefused'; message: string; code: string; pid: number }
/** There is no definition of that name, or no such version of it. */
export type UnknownWorkflow = {
  type: 'UnknownWorkflow'
  message: string
  workflow: string
  /** Names that there are and that were perhaps meant, nearest first. */
  nearest: string[]
}
export type UnknownProjection = { type: 'UnknownProjection'; message: string; known: string[] }
/** The projection has not stopped, or not at that event. */
export type ProjectionNotStopped = { type: 'ProjectionNotStopped'; message: string }
/** A rebuild met an event that the projection cannot take; its live tables are as they were. */
export type RebuildFailedFailure = { type: 'RebuildFailed'; message: string; projection: string; position: number }

export type StartRunResult =
  | { type: 'StartRunAnswer'; run: RunState }
  | InvalidInput
  | UnknownWorkflow
  | IdempotencyConflict
  | StoreUnavailableFailure

/** `created` is false where the same definition was in force already: that is the one which is answered. */
export type DefineWorkflowResult =
  | { type: 'DefineWorkflowAnswer'; workflow: WorkflowVersion; created: boolean }
  | InvalidInput
  | StoreUnavailableFailure

/** What `killRun` waits for before it answers; the kill itself goes on whatever the wait does. */
export const killWaits = ['ACCEPTED', 'KILLED', 'CLEANED'] as const
export type KillWait = (typeof killWaits)[number]

/** R4. `success` is true exactly when a receipt proves that no process is left. */
export type KillRunAnswer = {
  type: 'KillRunAnswer'
  success: boolean
  runId: RunId
  killedAt: string | null
  cleanupStatus: RunState['cleanup']['status']
  /** For people; says what goes on when the wait expired. */
  message: string
  /** Another kill was under way, and this one joined it. */
  joined: boolean
  /** `timeoutMs` passed before what was waited for. */
  waitExpired: boolean
  run: RunState
}
/**
 * An emergency kill while the event store is away: what the run's host says by itself. The run's record follows when
 * the store is back. `success` as in KillRunAnswer.
 */
export type EmergencyKillAnswer = {
  type: 'EmergencyKillAnswer'
  success: boolean
  runId: RunId
  /** When it was proven that no process is left. */
  killedAt: string | null
  cleanupStatus: RunState['cleanup']['status']
  /** For people; says what goes on when the wait expired. */
  message: string
  /** Another emergency kill was under way, or the run was over. */
  joined: boolean
  waitExpired: boolean
  /** The proof, or what stands in its way; null: neither yet. */
  receipt: Receipt | null
}
export type KillRunResult =
  | KillRunAnswer
  | EmergencyKillAnswer
  | InvalidInput
  | RunNotFound
  | AlreadyEnded
  | IdempotencyConflict
  | PermissionDenied
  | StoreUnavailableFailure

/** Nobody knows how the run was started. */
export type NotRestartable = { type: 'NotRestartable'; message: string; runId: string }
/** It cannot follow what was decided before. */
export type InvalidTransition = { type: 'InvalidTransition'; message: string; runId: string; status: RunStatus }

/** R2. The new run's id is settled from the first answer on; the new run exists once the old one is proven dead. */
export type RestartRunResult =
  | {
      type: 'RestartRunAnswer'
      newRunId: RunId
      run: RunState
      /** null: not made yet. */
      newRun: RunState | null
      message: string
      /** The restart had been asked for before, and this request joined it. */
      joined: boolean
      waitExpired: boolean
    }
  | InvalidInput
  | RunNotFound
  | InvalidTransition
  | NotRestartable
  | UnknownWorkflow
  | StoreUnavailableFailure

/** R3. `success` is true once the run has ended, as was decided or by itself before that. */
export type ForceCompleteRunResult =
  | {
      type: 'ForceCompleteRunAnswer'
      success: boolean
      run: RunState
      message: string
      joined: boolean
      waitExpired: boolean
    }
  | InvalidInput
  | RunNotFound
  | AlreadyEnded
  | InvalidTransition
  | StoreUnavailableFailure

/** Of `pauseRun` and of `resumeRun`. `success`: its processes stand still, or go on again, as was asked. */
export type PauseRunAnswer = {
  type: 'PauseRunAnswer'
  success: boolean
  run: RunState
  message: string
  /** That was wanted already, and this request joined it. */
  joined: boolean
  waitExpired: boolean
}
export type PauseRunResult =
  | PauseRunAnswer
  | InvalidInput
  | RunNotFound
  | AlreadyEnded
  | InvalidTransition
  | StoreUnavailableFailure

export type RegisterProcessResult =
  | { type: 'RegisterProcessAnswer'; run: RunState }
  | InvalidInput
  | RegistrationRefused
  | RunIdTaken
  | StoreUnavailableFailure

export type RebuildProjectionsResult =
  | { type: 'RebuildProjectionsAnswer'; projections: RebuildResult[] }
  | RebuildFailedFailure
  | UnknownProjection
  | StoreUnavailableFailure

/** `projection`: as it is after that, which may be stopped at a later event. */
export type SkipProjectionEventResult =
  | { type: 'SkipProjectionEventAnswer'; projection: ProjectionStatus; skip: Skip }
  | InvalidInput
  | UnknownProjection
  | ProjectionNotStopped
  | StoreUnavailableFailure

/** `canary`: true: only decoys of the readiness canary; false: none of them. */
export type RunEventEntry = { event: RecordedEvent; cursor: string }

export type OutputText = {
  /** Logical byte offsets: of the first byte of `text`, and where to go on. */
  offset: number
  next: number
  /** UTF-8; bytes that are none come as U+FFFD. */
  text: string
  ended: boolean
}

/** `advisory`: whoever asks should know, but work can be taken all the same. */
export type ReadinessCheck = { name: string; ok: boolean; detail: string; advisory?: boolean }
export type Readiness = { ready: boolean; checks: ReadinessCheck[] }

export type CanaryStatus = {
  /** 0: only on request. */
  intervalMs: number
  /** When the next one is due; null: none is. */
  nextAt: string | null
  /** One is under way on this server's host. */
  running: boolean
}
/** `joined`: one was under way already, and this is its result. */
export type RunCanaryResult =
  | { type: 'RunCanaryAnswer'; result: CanaryResult; joined: boolean }
  | StoreUnavailableFailure

/**
 * The use cases: every door (GraphQL, later MCP) calls these and nothing below them.
 * Inputs are unknown on purpose: they are validated here, so that no door can forget it.
 * @throws StoreUnavailable from the reading methods while the database is away.
 */
export interface Control {
  /** A new version of a workflow, in force for the runs that are started by its name from now on. */
  defineWorkflow(context: RequestContext, input: unknown): Promise<DefineWorkflowResult>
  startRun(context: RequestContext, input: unknown): Promise<StartRunResult>
  /** @param signal ends the wait (the client went away), never the kill. */
  killRun(context: RequestContext, input: unknown, signal?: AbortSignal): Promise<KillRunResult>
  /** @param signal ends the wait, never the restart. */
  restartRun(context: RequestContext, input: unknown, signal?: AbortSignal): Promise<RestartRunResult>
  /** @param signal ends the wait, never what goes on. */
  forceCompleteRun(context: RequestContext, input: unknown, signal?: AbortSignal): Promise<ForceCompleteRunResult>
  /** Stops the run's processes until it is resumed. @param signal ends the wait, never the pause. */
  pauseRun(context: RequestContext, input: unknown, signal?: AbortSignal): Promise<PauseRunResult>
  resumeRun(context: RequestContext, input: unknown, signal?: AbortSignal): Promise<PauseRunResult>
  registerProcess(context: RequestContext, input: unknown): Promise<RegisterProcessResult>
  /** null: all. */
  rebuildProjections(context: RequestContext, names: string[] | null): Promise<RebuildProjectionsResult>
  /** Lets a projection pass over the event that stopped it. */
  skipProjectionEvent(context: RequestContext, input: unknown): Promise<SkipProjectionEventResult>
  /** M2: starts a decoy that is hard to kill, kills it through the one path, and answers what came of it. */
  runCanary(context: RequestContext): Promise<RunCanaryResult>
  /** Records that somebody without a valid token was turned away; many within a short time become one record. */
  recordRefusedAccess(detail: string): void

  run(id: string): Promise<RunState | undefined>
  /** Newest first. */
  runs(filter: RunFilter, page: PageRequest): Promise<Page<RunState>>
  /** The run as it was at that moment. undefined: no such run or revision, or it had not been requested yet. */
  runAt(id: string, moment: Moment): Promise<ReplayedRun | undefined>
  /** Oldest first. undefined: no such run. @throws InvalidCursor */
  runEvents(id: string, page: PageRequest): Promise<Page<RunEventEntry> | undefined>
  /** Oldest first, up to that revision (null: all); empty where there is no such run. @throws InvalidCursor */
  runTimeline(id: string, page: PageRequest, upTo: number | null): Promise<Page<TimelineEntry>>
  /** How long what took, in the order in which it began; else as runTimeline. */
  runPhases(id: string, upTo: number | null): Promise<RunPhase[]>
  /** The critical sections that its host sees it in now; undefined: nothing of it lives there. */
  openSections(id: RunId): Promise<OpenSection[] | undefined>
  /** From `offset` on, at most `maxBytes` (≤ 1 MiB). undefined: no such run, or its host has no output of it. */
  runOutput(id: string, offset: number, maxBytes: number): Promise<OutputText | undefined>
  /** Newest first. */
  alerts(filter: AlertFilter, page: PageRequest): Promise<Page<Alert>>
  /** Newest first. */
  audit(filter: { runId?: string }, page: PageRequest): Promise<Page<AuditEntry>>
  /** Without a version: the one in force. undefined: no such workflow or version. */
  workflow(name: string, version?: number): Promise<WorkflowVersion | undefined>
  /** Each as it is in force, by name. */
  workflows(page: PageRequest): Promise<Page<WorkflowVersion>>
  /** Newest first; none where there is no such workflow. */
  workflowVersions(name: string, page: PageRequest): Promise<Page<WorkflowVersion>>
  hosts(): Promise<HostReport[]>
  /** Of all hosts, newest first, at most `last` results; the status is this server's. */
  canary(last: number): Promise<CanaryStatus & { results: CanaryResult[] }>
  projections(): Promise<ProjectionStatus[]>
  storeStats(): Promise<StoreStats>

  /** Each matching run as it is after a change was projected; from now on. */
  followRuns(filter: RunFilter & { runId?: string }, signal: AbortSignal): AsyncIterable<RunState>
  /** Those that are open now, then each that is raised or resolved; with a cursor what came after it. @throws InvalidCursor */
  followAlerts(after: string | null, signal: AbortSignal): AsyncIterable<AlertChange>
  /** Every event after the cursor (null: from the first), then live; ends when the run has ended and is cleaned. */
  followRunEvents(id: string, after: string | null, signal: AbortSignal): AsyncIterable<RunEventEntry>
  /** Output from the offset on, then live; ends when the output has. */
  followRunOutput(id: string, offset: number, signal: AbortSignal): AsyncIterable<OutputText>

  readiness(): Promise<Readiness>
}
