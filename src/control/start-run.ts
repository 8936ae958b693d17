import { createHash, randomBytes } from 'node:crypto'
import type { RequestRun } from '../domain/decide.ts'
import type { Actor } from '../domain/event.ts'
import type { RunId } from '../domain/ids.ts'
import type { RunState } from '../domain/run-state.ts'
import type { IdempotencyConflict, RequestContext, StartRunResult } from './control.ts'
import { type Executed, execute } from './execute.ts'
import { parseInput, type StartRunInput, startRunInputSchema } from './inputs.ts'
import { loadRun } from './run-log.ts'
import { type RunParameters, runParameters } from './run-parameters.ts'
import { sameJson } from './same-json.ts'
import type { UseCaseDeps } from './use-case.ts'

const action = 'startRun' as const

/** Requests a run; its host launches it as soon as it has a free slot. */
export async function startRun(
  deps: UseCaseDeps,
  context: RequestContext,
  input: unknown,
  schema = startRunInputSchema,
): Promise<StartRunResult> {
  const parsed = parseInput(schema, input)
  if (!parsed.ok) {
    await deps.audit.denied(context, { action, target: null, reason: null, details: {} }, parsed.failure.message)
    return parsed.failure
  }
  const { idempotencyKey, workflow } = parsed.value
  const runId = idempotencyKey === undefined ? newRunId() : runIdOf(context.actor, idempotencyKey)
  const attempt = { action, target: runId, reason: null, details: workflow === undefined ? {} : { workflow } }
  return deps.audit.allowed<StartRunResult>(context, attempt, async () => {
    const started = await start(deps, context, runId, parsed.value)
    if ('type' in started) return { result: started, outcome: started.type, detail: started.message }
    const { state, position, joined } = started
    const result: StartRunResult = { type: 'StartRunAnswer', run: await deps.projected(state, position) }
    return joined
      ? { result, outcome: 'JOINED', detail: 'The same request had started this run already.' }
      : { result, outcome: 'ACCEPTED', detail: `Run ${runId} was requested.` }
  })
}

type Accepted = Extract<Executed, { ok: true }>
type Refused = Exclude<StartRunResult, { type: 'StartRunAnswer' }>

async function start(
  deps: UseCaseDeps,
  context: RequestContext,
  runId: RunId,
  input: StartRunInput,
): Promise<Accepted | Refused> {
  const { idempotencyKey, workflow } = input
  const earlier = idempotencyKey === undefined ? undefined : (await loadRun(deps.store, runId))?.state
  // A request that is repeated after its workflow was defined anew means the definition that its first had used.
  const first = earlier?.workflow === workflow ? earlier?.workflowVersion : null
  const parameters = await runParameters(deps, input, input.workflowVersion ?? first ?? undefined)
  if ('type' in parameters) return parameters
  const { launch, ...said } = parameters
  const work = { kind: 'launch' as const, launch }
  const command: RequestRun = { ...said, type: 'RequestRun', runId, host: deps.host.hostId, work, idempotencyKey }
  const executed = await execute(deps.store, context, runId, command, deps.now)
  if (executed.ok && isSameRequest(parameters, executed.state)) return executed
  // Its first came in between, perhaps with another definition: now it is found, and this one is read as that was.
  if (executed.ok && executed.joined && earlier === undefined) return start(deps, context, runId, input)
  return conflict(runId, idempotencyKey)
}

const isSameRequest = ({ launch, workflow, workflowVersion, policy, labels }: RunParameters, state: RunState) =>
  sameJson(
    { launch, workflow, workflowVersion: workflowVersion ?? null, policy, labels },
    {
      ...{ launch: state.launch, workflow: state.workflow, workflowVersion: state.workflowVersion },
      ...{ policy: state.policy, labels: state.labels },
    },
  )

/** The id is taken by a request that was not the same one. */
const conflict = (runId: RunId, key: string | undefined): IdempotencyConflict => ({
  type: 'IdempotencyConflict',
  message:
    `The idempotency key ${JSON.stringify(key)} already belongs to ${runId}, which was started with other ` +
    'parameters. Use a new key for a new run.',
  runId,
})

/** 48 random bits; a clash is found when the stream exists already, and then nothing is started. */
export const newRunId = (): RunId => `run_${randomBytes(6).toString('hex')}`

/** The same actor and key always mean the same run, so that a retry needs no index to find it. */
export const runIdOf = (actor: Actor, key: string): RunId =>
  `run_${createHash('sha256')
    .update(JSON.stringify([actor.kind, actor.id, key]))
    .digest('hex')
    .slice(0, 12)}`
