import { createHash } from 'node:crypto'
import type { AlertEventBody } from '../src/domain/alert-events.ts'
import { alertStream } from '../src/domain/alert-events.ts'
import type { AuditEventBody } from '../src/domain/audit-events.ts'
import type { Actor, NewEvent } from '../src/domain/event.ts'
import { auditStream, type RunId, runStream, telemetryStream } from '../src/domain/ids.ts'
import { launchSpecSchema } from '../src/domain/launch.ts'
import { standardPolicy } from '../src/domain/policy.ts'
import type { ProcessIdentity } from '../src/domain/process-identity.ts'
import type { Receipt } from '../src/domain/receipt.ts'
import { type RunEventBody, runEventVersion } from '../src/domain/run-events.ts'
import { workflowStream } from '../src/domain/workflow-events.ts'
import type { EventStore } from '../src/event-store/event-store.ts'

type Body = RunEventBody | AuditEventBody | AlertEventBody | { type: 'WorkflowDefined'; data: unknown }
type Written = { stream: string; at: number; body: Body; actor: Actor }

const host = 'host_0123456789ab'
const hostActor: Actor = { kind: 'host', id: host }
const ada: Actor = { kind: 'user', id: 'ada' }
const monitor: Actor = { kind: 'monitor', id: 'monitor' }
const workflows = ['BUILDER', 'LINA', 'BRAIN', 'TEST', 'ARCHITECT', 'GUARDIAN']
const epoch = Date.parse('2026-01-01T00:00:00.000Z')
const second = 1_000
const minute = 60 * second
/** So many runs of a fleet live at the same time: their events are interleaved. */
const runsAtOnce = 200

/**
 * What a fleet of agents leaves behind: runs of 20 to 60 turns with a heartbeat a minute, most of them completed, one
 * in ten killed (asked for by a person, or stuck in initialization and killed by the monitor). The same at every call.
 * @param onWave called now and then, with how many events there are by then; goes on when it resolves
 * @param onWave called now and then, with how many events there are by then; goes on when it resolves
 * @returns how many events there are now: at least so many.
 */
export async function writeHistory(
  store: EventStore,
  events: number,
  onWave?: (written: number) => Promise<void>,
): Promise<number> {
  let written = 0
  await append(store, workflows.map(defined))
  written += workflows.length
  for (let next = 0; written < events; ) {
    const wave: Written[] = []
    for (const end = next + runsAtOnce; next < end && written + wave.length < events; next += 1) {
      wave.push(...historyOf(next, idOf(next)))
    }
    wave.sort((a, b) => a.at - b.at)
    await append(store, wave)
    written += wave.length
    await onWave?.(written)
  }
  return written
}

async function append(store: EventStore, wave: Written[]): Promise<void> {
  const bundle = 5_000
  for (let from = 0; from < wave.length; from += bundle) {
    const appends = wave.slice(from, from + bundle)
    await store.appendAll(
      appends.map((event) => ({ stream: event.stream, events: [recordable(event)], expected: 'any' })),
    )
  }
}

const idOf = (index: number): RunId =>
  `run_${createHash('sha256').update(`run ${index}`).digest('hex').slice(0, 12)}` as RunId

let made = 0
/** Counted, so that making them costs nothing. */
const eventId = () => `00000000-0000-4000-8000-${(made++).toString(16).padStart(12, '0')}`

function recordable({ at, body, actor }: Written): NewEvent {
  const v = body.type in runEventVersion ? runEventVersion[body.type as keyof typeof runEventVersion] : 1
  const metadata = { eventId: eventId(), actor, correlationId: 'c0ffee00-0000-4000-8000-000000000000' }
  return { type: body.type, v, data: body.data, metadata: { ...metadata, occurredAt: time(at) } }
}

const time = (at: number) => new Date(epoch + at).toISOString()

const launch = launchSpecSchema.parse({
  command: [
    'claude',
    '-p',
    'Make the installation script work and set everything up.',
    '--output-format',
    'stream-json',
  ],
  env: { CI: '1' },
  prompt: 'Make the installation script work and set everything up. Report what you did.',
})

const defined = (name: string): Written => ({
  stream: workflowStream(name),
  at: 0,
  body: { type: 'WorkflowDefined', data: { name, version: 1, definition: { launch, policy: {}, labels: {} } } },
  actor: ada,
})

const identity = (pid: number): ProcessIdentity => ({
  pid,
  startTime: String(pid * 100),
  bootId: '11111111-2222-4333-8444-555555555555',
  pidNamespace: '4026531836',
})

function historyOf(index: number, runId: RunId): Written[] {
  const history: Written[] = []
  const begin = Math.floor(index / runsAtOnce) * 3 * 60 * minute + (index % runsAtOnce) * 7 * second
  let at = begin
  const tell = (stream: string, body: Body, actor: Actor = hostActor) => history.push({ stream, at, body, actor })
  const run = (body: RunEventBody, actor?: Actor) => tell(runStream(runId), body, actor)
  const audit = (action: 'startRun' | 'killRun', outcome: string, reason: string | null, actor: Actor) => {
    const attemptId = eventId()
    const attempt = {
      attemptId,
      action,
      target: runId,
      reason,
      details: {},
      decision: 'allowed',
      why: 'permitted',
    } as const
    tell(auditStream(runId), { type: 'ActionAttempted', data: attempt }, actor)
    return () =>
      tell(auditStream(runId), { type: 'ActionCompleted', data: { attemptId, outcome, detail: outcome } }, actor)
  }
  const stuck = index % 20 === 7
  const killed = stuck || index % 20 === 13
  const turns = stuck ? 0 : 20 + (index % 41)

  const startedBy = audit('startRun', 'ACCEPTED', null, ada)
  const workflow = workflows[index % workflows.length] as string
  const common = { runId, workflow, host, policy: standardPolicy, labels: { team: 'platform' } } as const
  run(
    { type: 'RunRequested', data: { ...common, origin: 'launched', launch, registered: null, workflowVersion: 1 } },
    ada,
  )
  startedBy()
  at += 40
  const started = {
    attempt: 1,
    root: identity(4_242 + index),
    shim: identity(4_241 + index),
    level: 'cgroup-v2',
  } as const
  run({ type: 'RunStarted', data: { ...started, workspacePath: `/work/${runId}`, limits: [], startedAt: time(at) } })
  const live = stuck ? 31 : turns
  for (let passed = 1; passed <= live; passed += 1) {
    at += minute - 20 * second
    if (passed <= turns) run({ type: 'TurnCompleted', data: { turn: passed } })
    if (passed === 1 && !stuck) run({ type: 'PhaseChanged', data: { phase: 'execution' } })
    if (passed % 8 === 5 && !stuck) section(`commit-${passed}`)
    at += 15 * second
    tell(telemetryStream(runId), { type: 'HeartbeatRecorded', data: heartbeat(passed, turns) })
    at += 5 * second
  }
  if (stuck) classified()
  if (killed) kill()
  else completed()
  cleanup()
  return history

  function section(id: string): void {
    run({ type: 'CriticalSectionEntered', data: { id, kind: 'git_operations', detail: 'git commit, pid 4711' } })
    at += 700
    run({ type: 'CriticalSectionExited', data: { id, cause: 'exited' } })
  }

  function classified(): void {
    const evidence = ['turns', 'phase', 'ageMs', 'cacheReadRatio'].map((fact) => ({ fact, value: 'as it was seen' }))
    const explanation = 'initialization for 31 min without a turn'
    run(
      { type: 'RunClassified', data: { verdict: 'STUCK', previous: 'SLOW', rule: 'stuck', explanation, evidence } },
      monitor,
    )
    const alert = { kind: 'STUCK', severity: 'CRITICAL', runId, workflow, message: explanation, evidence } as const
    tell(alertStream(runId, 'STUCK'), { type: 'AlertRaised', data: alert }, monitor)
  }

  function kill(): void {
    const by = stuck ? monitor : ada
    const reason = stuck ? 'stuck in initialization' : 'it goes round in circles'
    const done = audit('killRun', 'KILLED', reason, by)
    run({ type: 'KillRequested', data: { kind: 'graceful', reason, graceMs: 3_000, proofDeadlineMs: 5_000 } }, by)
    at += 12
    run({ type: 'SigtermSent', data: { processes: 6, cause: 'kill' } })
    at += 3_000
    run({ type: 'SigkillSent', data: { processes: 1, cause: 'kill' } })
    at += 8
    run({ type: 'ProcessExited', data: { status: 143, at: time(at) } })
    run({ type: 'RunKilled', data: { rootExit: { status: 143, at: time(at) }, receipt: receipt(143) } })
    done()
    if (stuck) tell(alertStream(runId, 'STUCK'), { type: 'AlertResolved', data: { why: 'the run has ended' } }, monitor)
  }

  function completed(): void {
    run({ type: 'ProcessExited', data: { status: 0, at: time(at) } })
    run({ type: 'RunCompleted', data: { rootExit: { status: 0, at: time(at) }, receipt: receipt(0) } })
  }

  function cleanup(): void {
    run({
      type: 'TelemetrySummarised',
      data: { lastHeartbeatAt: time(at - 3_000), peakRssBytes: 9e8, peakProcesses: 9 },
    })
    for (const step of ['processes', 'cgroup', 'workspace', 'files']) {
      at += 3
      run({ type: 'CleanupStepCompleted', data: { step, detail: 'removed' } })
    }
    run({ type: 'RunCleaned', data: { failedSteps: [] } })
  }

  function receipt(status: number): Receipt {
    const processes = [0, 1, 2, 3, 4, 5].map((nth) => ({
      identity: identity(4_242 + index + nth),
      command: 'node /usr/lib/node_modules/agent/cli.js',
      foundBy: ['cgroup' as const],
      signals: [{ signal: 'SIGTERM' as const, at: time(at - 3_020) }],
      goneAt: time(at),
    }))
    const checks = ['cgroup-empty', 'no-known-identity-alive', 'no-descendant', 'no-session-member', 'no-marker']
    return {
      ...{ runId, proven: true, level: 'cgroup-v2', root: identity(4_242 + index) },
      ...{ rootExit: { status, at: time(at) }, processes: status === 0 ? [] : processes, processCount: 6 },
      checks: checks.map((name) => ({ name, passed: true, detail: 'nothing is left' })),
      timings: {
        requestedAt: time(at - 3_020),
        sigtermAt: time(at - 3_008),
        emptyAt: time(at),
        provenAt: time(at + 1),
      },
      notCovered: ['containers that were started through a daemon'],
    }
  }
}

const heartbeat = (passed: number, turns: number) => ({
  progressPercent: turns === 0 ? 0 : Math.min(100, Math.round((100 * passed) / turns)),
  usage: {
    inputTokens: 900 * passed,
    outputTokens: 300 * passed,
    cacheReadTokens: 45_000 * passed,
    costUsd: passed / 50,
  },
  lastOutput: 'Now let me run the installation script to set everything up:',
  outputBytes: 4_096 * passed,
  ...{ processes: 4, cpuMs: 1_234 * passed, rssBytes: 400_000_000 + passed * 4_096, openFiles: 80 },
  ...{ ioReadBytes: 1_000_000 * passed, ioWriteBytes: 200_000 * passed },
})
