import { sectionLimitsOf } from '../../src/domain/critical-section.ts'
import type { RequestKill, RequestRun } from '../../src/domain/decide.ts'
import type { Actor, EventMetadata } from '../../src/domain/event.ts'
import type { FactBody } from '../../src/domain/host-link.ts'
import { runStream, telemetryStream } from '../../src/domain/ids.ts'
import { launchSpecSchema } from '../../src/domain/launch.ts'
import { standardPolicy } from '../../src/domain/policy.ts'
import type { ProcessIdentity } from '../../src/domain/process-identity.ts'
import type { Receipt } from '../../src/domain/receipt.ts'
import {
  isTelemetry,
  type KillKind,
  type RecordedRunEvent,
  type RunEventBody,
  type RunEventData,
  type RunEventType,
  runEventVersion,
} from '../../src/domain/run-events.ts'

type FactOf<Type extends FactBody['type']> = Extract<FactBody, { type: Type }>

export const runId = 'run_0123456789ab'
export const hostId = 'host_0123456789ab'
export const user: Actor = { kind: 'user', id: 'ada' }
export const hostActor: Actor = { kind: 'host', id: hostId }

const epoch = Date.parse('2026-01-01T00:00:00.000Z')
/** The moment `ms` milliseconds into a test's history. */
export const time = (ms: number) => new Date(epoch + ms).toISOString()

export const identity = (pid: number): ProcessIdentity => ({
  pid,
  startTime: String(pid * 100),
  bootId: '11111111-2222-4333-8444-555555555555',
  pidNamespace: '4026531836',
})
export const root = identity(4242)

/** A proof that nothing of the run is left; changed as a test needs it. */
export const receipt = (changes: Partial<Receipt> = {}): Receipt => ({
  runId,
  proven: true,
  level: 'cgroup-v2',
  root,
  rootExit: null,
  processes: [],
  processCount: 1,
  checks: [{ name: 'cgroup-empty', passed: changes.proven ?? true, detail: 'populated 0' }],
  timings: { requestedAt: time(0), provenAt: time(1_000) },
  notCovered: [],
  ...changes,
})
export const unproven = (changes: Partial<Receipt> = {}) => receipt({ proven: false, ...changes })

export const requested = (changes: Partial<RunEventData<'RunRequested'>> = {}) =>
  event('RunRequested', {
    runId,
    workflow: 'BUILDER',
    origin: 'launched',
    host: hostId,
    launch: launchSpecSchema.parse({ command: ['sleep', '1'] }),
    registered: null,
    policy: standardPolicy,
    labels: {},
    ...changes,
  })

export const started = (changes: Partial<RunEventData<'RunStarted'>> = {}) =>
  event('RunStarted', {
    attempt: 1,
    root,
    shim: identity(4241),
    workspacePath: '/tmp/workspace',
    level: 'cgroup-v2',
    startedAt: time(1_000),
    ...changes,
  })

export const killRequested = (kind: KillKind = 'graceful', changes: Partial<RunEventData<'KillRequested'>> = {}) =>
  event('KillRequested', {
    kind,
    reason: 'it hangs',
    graceMs: kind === 'graceful' ? standardPolicy.graceMs : 0,
    proofDeadlineMs: standardPolicy.proofDeadlineMs,
    ...(kind === 'graceful' ? { sectionLimits: sectionLimitsOf(standardPolicy) } : {}),
    ...changes,
  })

export const entered = (id: string, changes: Partial<RunEventData<'CriticalSectionEntered'>> = {}) =>
  event('CriticalSectionEntered', { id, kind: 'git_operations', detail: id, ...changes })
export const left = (id: string) => event('CriticalSectionExited', { id, cause: 'exited' })
export const killDeferred = (until: string) =>
  event('KillDeferred', {
    until,
    sections: [{ kind: 'git_operations', source: 'OBSERVED', since: time(0), detail: 'git push, pid 7' }],
  })

export const sigtermSent = (cause: 'kill' | 'leftovers' = 'kill') => event('SigtermSent', { processes: 2, cause })
export const sigkillSent = (cause: 'kill' | 'leftovers' = 'kill') => event('SigkillSent', { processes: 1, cause })
export const pauseRequested = (reason: string | null = 'a look') => event('PauseRequested', { reason })
export const resumeRequested = () => event('ResumeRequested', { reason: null })
export const paused = () => event('RunPaused', { request: 2, method: 'sigstop', processes: 3 })
export const resumed = (cause: 'resume' | 'kill' = 'resume') => event('RunResumed', { request: 2, cause })
export const exited = (status: number | null) => event('ProcessExited', { status, at: time(5_000) })
export const turn = (number: number) => event('TurnCompleted', { turn: number })
export const phase = (name: string) => event('PhaseChanged', { phase: name })
export const treeGone = (proof: Receipt = receipt()) => ({ type: 'TreeGone' as const, data: { receipt: proof } })
export const treeNotProven = (doubt: Receipt = unproven()) => ({
  type: 'TreeNotProven' as const,
  data: { receipt: doubt },
})
export const emergencyRequested = (changes: Partial<FactOf<'EmergencyKillRequested'>['data']> = {}) => ({
  type: 'EmergencyKillRequested' as const,
  data: { requestedBy: user, correlationId: 'emergency', reason: 'it hangs', proofDeadlineMs: 5_000, ...changes },
})
export const launchFailed = () => ({
  type: 'LaunchFailed' as const,
  data: { code: 'EXECUTABLE_NOT_FOUND', message: 'no executable "nope" in the PATH' },
})

export function event<Type extends RunEventType>(type: Type, data: RunEventData<Type>) {
  return { type, data }
}

export const requestRun = (changes: Partial<RequestRun> = {}): RequestRun => ({
  type: 'RequestRun',
  runId,
  workflow: 'BUILDER',
  host: hostId,
  work: { kind: 'launch', launch: launchSpecSchema.parse({ command: ['sleep', '1'] }) },
  policy: standardPolicy,
  labels: {},
  ...changes,
})

export const requestKill = (kind: KillKind = 'graceful', changes: Partial<RequestKill> = {}): RequestKill => ({
  type: 'RequestKill',
  kind,
  reason: 'it hangs',
  ...changes,
})

/** Where a body stands in the history; what is not said follows from its place. */
export type Place = { occurredAt?: string; actor?: Actor; fact?: number }

/** `body`, placed: at a moment, by an actor, as the host's nth fact. */
export const placed = (place: Place, body: RunEventBody) => ({ ...body, ...place })

/** The history as a store would give it back: one event a second, in order, each stream with its own revisions. */
export function record(bodies: readonly (RunEventBody & Place)[]): RecordedRunEvent[] {
  const nextRevision = new Map<string, number>()
  return bodies.map(({ type, data, ...place }, index) => {
    const stream = isTelemetry(type) ? telemetryStream(runId) : runStream(runId)
    const revision = nextRevision.get(stream) ?? 0
    nextRevision.set(stream, revision + 1)
    return {
      type,
      data,
      v: runEventVersion[type],
      metadata: metadata(index, place),
      stream,
      revision,
      position: index + 1,
      recordedAt: time(index * 1_000 + 1),
    } as RecordedRunEvent
  })
}

const metadata = (index: number, { occurredAt, actor, fact }: Place): EventMetadata => ({
  eventId: `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`,
  actor: actor ?? (fact === undefined ? user : hostActor),
  correlationId: 'test',
  occurredAt: occurredAt ?? time(index * 1_000),
  ...(fact === undefined ? {} : { fact: { host: hostId, sequence: fact } }),
})
