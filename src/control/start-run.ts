import { createHash, randomBytes } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { RequestRun } from '../domain/decide.ts'
import type { Actor } from '../domain/event.ts'
import type { RunId } from '../domain/ids.ts'
import { launchSpecSchema } from '../domain/launch.ts'
import { resolvePolicy } from '../domain/policy.ts'
import type { RunState } from '../domain/run-state.ts'
import type { RequestContext, StartRunResult } from './control.ts'
import { type Executed, execute } from './execute.ts'
import { parseInput, startRunInputSchema } from './inputs.ts'
import type { UseCaseDeps } from './use-case.ts'

const action = 'startRun' as const

/** Requests a run; its host launches it as soon as it has a free slot. */
export async function startRun(deps: UseCaseDeps, context: RequestContext, input: unknown): Promise<StartRunResult> {
  const parsed = parseInput(startRunInputSchema, input)
  if (!parsed.ok) {
    await deps.audit.denied(context, { action, target: null, reason: null, details: {} }, parsed.failure.message)
    return parsed.failure
  }
  const { workflow, policy, labels, idempotencyKey, ...spec } = parsed.value
  const command: RequestRun = {
    type: 'RequestRun',
    runId: idempotencyKey === undefined ? newRunId() : runIdOf(context.actor, idempotencyKey),
    workflow,
    host: deps.host.hostId,
    work: { kind: 'launch', launch: launchSpecSchema.parse(spec) },
    policy: resolvePolicy(policy),
    labels,
    idempotencyKey,
  }
  const attempt = { action, target: command.runId, reason: null, details: { workflow } }
  return deps.audit.allowed(context, attempt, async () => {
    const executed = await execute(deps.store, context, command.runId, command, deps.now)
    return { result: await answer(deps, command, executed), ...outcomeOf(command, executed) }
  })
}

async function answer(deps: UseCaseDeps, command: RequestRun, executed: Executed): Promise<StartRunResult> {
  if (isConflict(command, executed)) {
    return { type: 'IdempotencyConflict', message: conflictMessage(command), runId: command.runId }
  }
  return { type: 'StartRunAnswer', run: await deps.projected(executed.state, executed.position) }
}

function outcomeOf(command: RequestRun, executed: Executed): { outcome: string; detail: string } {
  if (isConflict(command, executed)) return { outcome: 'IdempotencyConflict', detail: conflictMessage(command) }
  return executed.joined
    ? { outcome: 'JOINED', detail: 'The same request had started this run already.' }
    : { outcome: 'ACCEPTED', detail: `Run ${command.runId} was requested.` }
}

/** The id is taken by a request that was not the same one. */
function isConflict(command: RequestRun, executed: Executed): executed is Exclude<Executed, { ok: true }> {
  return !executed.ok || !isSameRequest(command, executed.state)
}

const isSameRequest = (command: RequestRun, state: RunState) =>
  command.work.kind === 'launch' &&
  isDeepStrictEqual(
    asJson({ launch: state.launch, workflow: state.workflow, policy: state.policy, labels: state.labels }),
    asJson({ launch: command.work.launch, workflow: command.workflow, policy: command.policy, labels: command.labels }),
  )

/** As the store keeps it: without keys whose value is undefined. */
const asJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

const conflictMessage = (command: RequestRun) =>
  `The idempotency key ${JSON.stringify(command.idempotencyKey)} already belongs to ${command.runId}, which was ` +
  'started with other parameters. Use a new key for a new run.'

/** 48 random bits; a clash is found when the stream exists already, and then nothing is started. */
export const newRunId = (): RunId => `run_${randomBytes(6).toString('hex')}`

/** The same actor and key always mean the same run, so that a retry needs no index to find it. */
const runIdOf = (actor: Actor, key: string): RunId =>
  `run_${createHash('sha256')
    .update(JSON.stringify([actor.kind, actor.id, key]))
    .digest('hex')
    .slice(0, 12)}`
