import type { HostId, RunId } from './ids.ts'
import type { LaunchSpec } from './launch.ts'
import type { Policy } from './policy.ts'
import type { ProcessIdentity } from './process-identity.ts'
import type { KillKind, RunEventBody } from './run-events.ts'
import { isTerminal, type RunState, type RunStatus } from './run-state.ts'

export type RequestRun = {
  type: 'RequestRun'
  runId: RunId
  workflow: string
  host: HostId
  work:
    | { kind: 'launch'; launch: LaunchSpec }
    | { kind: 'supervise'; root: ProcessIdentity; workspacePath: string | null }
  policy: Policy
  labels: Record<string, string>
  idempotencyKey?: string
}

export type RequestKill = {
  type: 'RequestKill'
  kind: KillKind
  reason: string | null
  idempotencyKey?: string
}

export type Command = RequestRun | RequestKill

export type Rejection =
  | { code: 'RunNotFound' }
  /** The run id is taken: by another request, or by another run. */
  | { code: 'RunExists' }
  | { code: 'AlreadyEnded'; status: RunStatus; endedAt: string }

export type Decision =
  /** No events: what was asked for is under way already, and this request joins it. */
  { ok: true; events: RunEventBody[] } | { ok: false; rejection: Rejection }

const strength: Record<KillKind, number> = { graceful: 0, force: 1, emergency: 2 }

/** What a command leads to. Pure: the same command on the same state decides the same. */
export function decide(command: Command, state: RunState | undefined): Decision {
  switch (command.type) {
    case 'RequestRun':
      return requestRun(command, state)
    case 'RequestKill':
      return requestKill(command, state)
  }
}

function requestRun(command: RequestRun, state: RunState | undefined): Decision {
  if (state !== undefined) {
    const isRetry = command.idempotencyKey !== undefined && command.idempotencyKey === state.idempotencyKey
    return isRetry ? accept() : reject({ code: 'RunExists' })
  }
  const { runId, workflow, host, work, policy, labels, idempotencyKey } = command
  const origin =
    work.kind === 'launch'
      ? { origin: 'launched' as const, launch: work.launch, registered: null }
      : {
          origin: 'registered' as const,
          launch: null,
          registered: { root: work.root, workspacePath: work.workspacePath },
        }
  return accept({ type: 'RunRequested', data: { runId, workflow, host, ...origin, policy, labels, idempotencyKey } })
}

function requestKill(command: RequestKill, state: RunState | undefined): Decision {
  if (state === undefined) return reject({ code: 'RunNotFound' })
  if (isRetryOf(command, state)) return accept()
  if (isTerminal(state.status)) {
    return reject({ code: 'AlreadyEnded', status: state.status, endedAt: state.endedAt ?? state.requestedAt })
  }
  if (joins(command, state)) return accept()
  const kind = stronger(command.kind, state.kill?.kind)
  return accept({
    type: 'KillRequested',
    data: {
      kind,
      reason: command.reason,
      graceMs: kind === 'graceful' ? state.policy.graceMs : 0,
      proofDeadlineMs: state.policy.proofDeadlineMs,
      idempotencyKey: command.idempotencyKey,
    },
  })
}

const isRetryOf = (command: RequestKill, state: RunState) =>
  command.idempotencyKey !== undefined && state.kill?.idempotencyKeys.includes(command.idempotencyKey) === true

/** A kill that is no stronger than the one under way. After KILL_UNVERIFIED every request tries again. */
const joins = (command: RequestKill, state: RunState) =>
  state.kill !== null && state.status !== 'KILL_UNVERIFIED' && strength[command.kind] <= strength[state.kill.kind]

/** A kill that is tried again goes on at least as hard as before: what a host is asked for never grows weaker. */
const stronger = (kind: KillKind, before: KillKind = 'graceful') => (strength[kind] >= strength[before] ? kind : before)

const accept = (...events: RunEventBody[]): Decision => ({ ok: true, events })
const reject = (rejection: Rejection): Decision => ({ ok: false, rejection })
