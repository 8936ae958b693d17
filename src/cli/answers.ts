import type { Receipt } from '../domain/receipt.ts'
import type { Usage } from '../domain/run-events.ts'
import type { CleanupStep, RunStatus } from '../domain/run-state.ts'
import type { PhaseKind } from '../domain/timeline.ts'

/** The shapes that the documents of documents.ts ask for. Times are ISO 8601 UTC. */

export type Actor = { kind: 'USER' | 'TOKEN' | 'RUN' | 'MONITOR' | 'HOST' | 'OTHER'; id: string }

export type Policy = {
  preset: string
  graceMs: number
  deferLimitMs: number
  slowAfterMs: number
  initializationWarningMs: number
  stuckAfterMs: number
  onStuck: string
  totalTimeoutMs: number
  onTotalTimeout: string
}

export type Limit = { limit: 'MEMORY' | 'PIDS' | 'CPU' | 'OPEN_FILES'; requested: number }
/** `enforcedBy` null: the run has not been started yet. */
export type RunLimit = Limit & { enforcedBy: 'CGROUP' | 'RLIMIT' | 'NONE' | null; detail: string | null }

/** Of a run that was restarted, or stands in the place of one that was. */
export type RestartLinks = {
  restartOf: { id: string; status: RunStatus } | null
  restart: { newRunId: string } | null
  restartedAs: { id: string; status: RunStatus } | null
}

export type Alert = {
  id: string
  kind: string
  severity: 'WARNING' | 'CRITICAL'
  /** null, as is the workflow: it is about a host. */
  runId: string | null
  workflow: string | null
  message: string
  raisedAt: string
  resolvedAt: string | null
  why: string | null
}

/** The wait of a kill for critical sections; `endedAt` null: it waits. */
export type Deferral = { since: string; until: string; endedAt: string | null; sections: { detail: string }[] }

export type WorkspaceAnswer = { kind: string; path: string | null; repository: string | null; branch: string | null }

export type SalvageAnswer = {
  path: string
  patchBytes: number
  files: number
  filesBytes: number
  leftOutCount: number
  keep: string | null
}

export type RunRow = {
  id: string
  workflow: string
  status: RunStatus
  killPhase: string
  phase: string | null
  turns: number
  progressPercent: number | null
  pid: number | null
  host: string
  revision: number
  requestedAt: string
  startedAt: string | null
  endedAt: string | null
  lastHeartbeatAt: string | null
  lastOutput: string | null
  kill: { deferral: Pick<Deferral, 'until' | 'endedAt'> | null } | null
  verdict: {
    verdict: 'NORMAL' | 'SLOW' | 'STUCK'
    rule: string
    explanation: string
    evidence: { fact: string; value: string }[]
  }
}

export type RunDetails = RunRow &
  RestartLinks & {
    origin: string
    /** null: it was started from a command line. */
    workflowVersion: number | null
    command: string[] | null
    workspacePath: string | null
    /** null: something else launched it. */
    workspace: WorkspaceAnswer | null
    salvage: SalvageAnswer | null
    labels: { name: string; value: string }[]
    policy: Policy
    limits: RunLimit[]
    requestedBy: Actor
    /** Of a replay: which moment it shows. */
    asOf: string | null
    /** Of a replay: heartbeats from before that moment are gone. */
    heartbeatsRetired: boolean
    outputBytes: number
    processes: number | null
    cpuMs: number | null
    rssBytes: number | null
    openFiles: number | null
    ioReadBytes: number | null
    ioWriteBytes: number | null
    peakRssBytes: number | null
    peakProcesses: number | null
    peakOpenFiles: number | null
    outOfMemory: { message: string } | null
    cacheReadRatio: number | null
    lateResults: number
    usage: { [Key in keyof Usage]-?: number | null } | null
    notices: { code: string; detail: string; at: string }[]
    kill: {
      kind: 'GRACEFUL' | 'FORCE' | 'EMERGENCY'
      reason: string | null
      requestedBy: Actor
      requestedAt: string
      deferral: Deferral | null
    } | null
    pause: {
      paused: boolean
      reason: string | null
      requestedBy: Actor
      requestedAt: string
      stoppedAt: string | null
      wentOnAt: string | null
    } | null
    pausedMs: number
    safeToKill: { safe: boolean; message: string; sections: { detail: string }[]; wouldDeferUntil: string | null }
    rootExit: { status: number | null; at: string } | null
    failure: { reason: string; message: string; code: string | null } | null
    receipt: { json: Receipt } | null
    cleanup: { status: 'NONE' | 'RUNNING' | 'DONE' | 'FAILED'; steps: CleanupStep[] }
  }

export type WorkflowRow = {
  name: string
  version: number
  description: string | null
  command: string[]
  workspace: WorkspaceAnswer
  env: { name: string; value: string }[]
  secretEnv: string[]
  runAs: string | null
  prompt: string | null
  labels: { name: string; value: string }[]
  limits: Limit[]
  policy: Policy
  definedAt: string
  definedBy: Actor
}

/** `versions`: the newest. */
export type WorkflowDetails = WorkflowRow & { versions: { edges: { node: { version: number } }[] } }

export type Page<Node> = {
  edges: { node: Node; cursor?: string }[]
  pageInfo: { hasNextPage: boolean; endCursor: string | null }
}

export type RunEvent = {
  id: string
  type: string
  version: number
  revision: number
  position: number
  occurredAt: string
  recordedAt: string
  actor: Actor
  correlationId: string
  causationId: string | null
  data: unknown
  isKnown: boolean
  summary: string
}

export type RunPhase = {
  kind: PhaseKind
  /** Of WORKING: the phase that the run reported. */
  name: string | null
  from: string
  to: string | null
  durationMs: number
}

export type TimelineEntry = {
  revision: number
  type: string
  at: string
  actor: Actor
  summary: string
  late: boolean
}

/** The run in front of its timeline. */
export type TimelineHead = RunRow &
  RestartLinks & {
    /** The latest 500. */
    phases: RunPhase[]
  }

export type OutputChunk = { offset: number; next: number; text: string; ended: boolean }

/** A typed failure of a mutation. */
export type Problem = { __typename: string; message: string; issues?: { path: string; message: string }[] }

/** Of an emergency kill, where the event store or the whole server is away. */
export type EmergencyKillAnswer = {
  __typename: 'EmergencyKillAnswer'
  success: boolean
  runId: string
  killedAt: string | null
  cleanupStatus: RunDetails['cleanup']['status']
  message: string
  joined: boolean
  waitExpired: boolean
  receipt: { json: Receipt } | null
}

export type CanaryResult = {
  runId: string
  host: string
  trigger: 'SCHEDULE' | 'REQUEST'
  requestedBy: Actor
  startedAt: string
  /** null: it goes on. */
  endedAt: string | null
  outcome: 'RUNNING' | 'PASSED' | 'FAILED' | 'SKIPPED'
  phase: 'START' | 'KILL' | 'PROOF' | null
  message: string | null
  level: 'CGROUP_V2' | 'PROCESS_SCAN' | null
  processes: number | null
  timings: Record<'readyMs' | 'sigtermMs' | 'sigkillMs' | 'provenMs' | 'answeredMs', number | null>
}

export type CanaryState = { intervalMs: number; nextAt: string | null; running: boolean; results: CanaryResult[] }
