import { canaryWorkflow } from '../domain/canary-events.ts'
import type { RequestRestart } from '../domain/decide.ts'
import { type RunId, runIdSchema } from '../domain/ids.ts'
import type { LaunchSpec } from '../domain/launch.ts'
import { resolvePolicy } from '../domain/policy.ts'
import type { RunState } from '../domain/run-state.ts'
import type { InvalidTransition, NotRestartable, RequestContext, RestartRunResult, UnknownWorkflow } from './control.ts'
import { type Executed, execute } from './execute.ts'
import { parseInput, type RestartRunInput, restartRunInputSchema } from './inputs.ts'
import { loadRun } from './run-log.ts'
import { notFound } from './run-not-found.ts'
import { newRunId } from './start-run.ts'
import type { UseCaseDeps } from './use-case.ts'
import { waitForRun } from './wait-for-run.ts'
import { currentWorkflow } from './workflow-log.ts'

const action = 'restartRun' as const

/**
 * R2: records the restart; a live run is killed through the one path, and once its receipt is there a new run is made
 * in its place (restart-saga.ts). Answers when the new run is there, or when the wait expired.
 * @param signal ends the wait, never the restart.
 */
export async function restartRun(
  deps: UseCaseDeps,
  context: RequestContext,
  input: unknown,
  signal: AbortSignal,
): Promise<RestartRunResult> {
  const parsed = parseInput(restartRunInputSchema, input)
  if (!parsed.ok) {
    await deps.audit.denied(context, { action, target: null, reason: null, details: {} }, parsed.failure.message)
    return parsed.failure
  }
  const { runId, definition, reason, timeoutMs } = parsed.value
  const attempt = { action, target: runId, reason: reason ?? null, details: { definition } }
  const recorded = await deps.audit.allowed<Recorded>(context, attempt, async () => {
    const done = await request(deps, context, parsed.value)
    if ('type' in done) return { result: done, outcome: done.type, detail: done.message }
    const { joined, state } = done
    const detail = `Run ${state.restart?.newRunId} takes the place of ${runId} as soon as that is proven dead.`
    return { result: done, outcome: joined ? 'JOINED' : 'ACCEPTED', detail }
  })
  return 'type' in recorded ? recorded : waitAndAnswer(deps, recorded, timeoutMs, signal)
}

type Accepted = Extract<Executed, { ok: true }>
type Recorded = Accepted | Exclude<RestartRunResult, { type: 'RestartRunAnswer' | 'InvalidInput' }>

async function request(deps: UseCaseDeps, context: RequestContext, input: RestartRunInput): Promise<Recorded> {
  const known = runIdSchema.safeParse(input.runId)
  const loaded = known.success ? await loadRun(deps.store, known.data) : undefined
  if (!known.success || loaded === undefined) return notFound(input.runId)
  const other = otherRestart(loaded.state, input)
  if (other !== undefined) return other
  if (loaded.state.workflow === canaryWorkflow) return decoy(known.data)
  const parameters = await restartParameters(deps, loaded.state, input)
  if ('type' in parameters) return parameters
  const { definition, reason } = input
  const command: RequestRestart = {
    ...{ type: 'RequestRestart', newRunId: newRunId(), definition, reason: reason ?? null },
    ...{ workflow: loaded.state.workflow, ...parameters },
  }
  const executed = await execute(deps.store, context, known.data, command, deps.now)
  if (!executed.ok) return notFound(input.runId)
  deps.tellOfKill(executed)
  return executed
}

/** A run is restarted once: who asks for the same again joins, and who asks for something else must hear of it. */
function otherRestart({ runId, status, restart }: RunState, input: RestartRunInput): InvalidTransition | undefined {
  if (restart === null) return undefined
  const samePrompt = input.prompt == null || input.prompt === restart.launch.prompt
  if (restart.definition === input.definition && samePrompt) return undefined
  const message =
    `${runId} is being restarted as ${restart.newRunId} already, with its ${restart.definition} definition` +
    `${samePrompt ? '' : ' and another prompt'}; that stands. Restart ${restart.newRunId} instead.`
  return { type: 'InvalidTransition', message, runId, status }
}

type RestartParameters = Pick<RequestRestart, 'workflowVersion' | 'launch' | 'policy' | 'labels'>

async function restartParameters(
  deps: UseCaseDeps,
  state: RunState,
  { definition, prompt }: RestartRunInput,
): Promise<RestartParameters | NotRestartable | UnknownWorkflow> {
  const recorded = launchOf(state)
  if (definition === 'RECORDED') {
    if (recorded === undefined) return notRestartable(state.runId)
    return {
      launch: withPrompt(recorded, prompt),
      policy: state.policy,
      ...(state.workflowVersion === null ? {} : { workflowVersion: state.workflowVersion }),
    }
  }
  const current = (await currentWorkflow(deps.store, state.workflow))?.workflow
  if (current === undefined) return undefinedWorkflow(state)
  const { launch, policy, labels } = current.definition
  return {
    // Where the definition leaves the prompt to each run, the new run has the same task as the old one.
    launch: withPrompt(launch, prompt ?? launch.prompt ?? recorded?.prompt),
    policy: resolvePolicy(policy),
    labels,
    workflowVersion: current.version,
  }
}

const withPrompt = (launch: LaunchSpec, prompt: string | null | undefined): LaunchSpec =>
  prompt == null ? launch : { ...launch, prompt }

/** What a run was launched with; of a registered one, what the process table said of it. */
const launchOf = (state: RunState): LaunchSpec | undefined => state.launch ?? state.registered?.launch

const notRestartable = (runId: RunId): NotRestartable => ({
  type: 'NotRestartable',
  message: `${runId} was registered, and how its process had been started could not be read. Start a new run instead.`,
  runId,
})

const decoy = (runId: RunId): NotRestartable => ({
  type: 'NotRestartable',
  message: `${runId} is a decoy of the readiness canary, which starts them by itself: runCanary (runwarden canary) does.`,
  runId,
})

const undefinedWorkflow = ({ runId, workflow }: RunState): UnknownWorkflow => ({
  type: 'UnknownWorkflow',
  message:
    `${runId} is a run of ${workflow}, of which there is no definition. Restart it as it was recorded, or define ` +
    `${workflow} first.`,
  workflow,
  nearest: [],
})

async function waitAndAnswer(
  deps: UseCaseDeps,
  accepted: Accepted,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<RestartRunResult> {
  const { runId } = accepted.state
  const reached = (run: RunState) => run.restartedAs !== null || run.status === 'KILL_UNVERIFIED'
  const wait = AbortSignal.any([AbortSignal.timeout(timeoutMs), signal])
  const seen = await waitForRun(deps.feed, accepted, reached, wait)
  const run = await deps.projected(seen.state, seen.position)
  const newId = run.restart?.newRunId ?? runId
  const newRun = run.restartedAs === null ? undefined : await loadRun(deps.store, run.restartedAs)
  return {
    type: 'RestartRunAnswer',
    newRunId: newId,
    run,
    newRun: newRun === undefined ? null : await deps.projected(newRun.state, newRun.position),
    message: messageOf(run, newId),
    joined: accepted.joined,
    waitExpired: run.restartedAs === null,
  }
}

function messageOf(run: RunState, newId: RunId): string {
  if (run.restartedAs !== null) return `${run.runId} has ended as ${run.status}; ${run.restartedAs} takes its place.`
  if (run.status === 'KILL_UNVERIFIED') {
    return `${run.runId} could not be proven dead, so ${newId} is not started yet. It is as soon as the proof is there.`
  }
  return `The restart is recorded and goes on: ${newId} is started as soon as ${run.runId} is proven dead.`
}
