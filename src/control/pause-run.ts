import { runIdSchema } from '../domain/ids.ts'
import { type RequestPause, standsStill } from '../domain/pause.ts'
import { isTerminal, type RunState } from '../domain/run-state.ts'
import type { AlreadyEnded, InvalidTransition, PauseRunResult, RequestContext, RunNotFound } from './control.ts'
import { type Executed, execute } from './execute.ts'
import { parseInput, pauseRunInputSchema } from './inputs.ts'
import { notFound } from './run-not-found.ts'
import type { UseCaseDeps } from './use-case.ts'
import { waitForRun } from './wait-for-run.ts'

type Action = 'pauseRun' | 'resumeRun'

const commandOf: Record<Action, RequestPause['type']> = { pauseRun: 'RequestPause', resumeRun: 'RequestResume' }

/**
 * Records that the run is to stand still, or to go on; its host sees to it. Waits until the host has shown it.
 * @param signal ends the wait, never what was asked for.
 */
export async function pauseRun(
  deps: UseCaseDeps,
  context: RequestContext,
  action: Action,
  input: unknown,
  signal: AbortSignal,
): Promise<PauseRunResult> {
  const parsed = parseInput(pauseRunInputSchema, input)
  if (!parsed.ok) {
    await deps.audit.denied(context, { action, target: null, reason: null, details: {} }, parsed.failure.message)
    return parsed.failure
  }
  const { runId, timeoutMs } = parsed.value
  const reason = parsed.value.reason ?? null
  const command: RequestPause = { type: commandOf[action], reason }
  const attempt = { action, target: runId, reason, details: {} }
  const recorded = await deps.audit.allowed<Recorded>(context, attempt, async () => {
    const known = runIdSchema.safeParse(runId)
    const executed = known.success ? await execute(deps.store, context, known.data, command, deps.now) : undefined
    if (executed?.ok) return { result: { accepted: executed }, ...acceptance(executed, action) }
    const failure = executed === undefined ? notFound(runId) : await failureOf(deps, executed, runId, action)
    return { result: { failure }, outcome: failure.type, detail: failure.message }
  })
  if ('failure' in recorded) return recorded.failure
  return waitAndAnswer(deps, recorded.accepted, action, timeoutMs, signal)
}

type Accepted = Extract<Executed, { ok: true }>
type Failure = RunNotFound | AlreadyEnded | InvalidTransition
type Recorded = { accepted: Accepted } | { failure: Failure }

const acceptance = ({ joined }: Accepted, action: Action) => ({
  outcome: joined ? 'JOINED' : 'ACCEPTED',
  detail: action === 'pauseRun' ? 'The run is to stand still.' : 'The run is to go on.',
})

async function failureOf(
  deps: UseCaseDeps,
  { rejection, run }: Extract<Executed, { ok: false }>,
  runId: string,
  action: Action,
): Promise<Failure> {
  if (run === undefined) return notFound(runId)
  if (rejection.code === 'AlreadyEnded') {
    const message = `Run ${runId} ended as ${rejection.status} at ${rejection.endedAt}; there is nothing to ${verbOf[action]}.`
    return { type: 'AlreadyEnded', message, run: await deps.projected(run.state, run.position) }
  }
  if (rejection.code !== 'Ending') return notFound(runId)
  const why = run.state.kill === null ? 'its root process has ended, and what is left of it is' : 'it is'
  const message = `Run ${runId} cannot be ${verbOf[action]}d any more: ${why} being killed. Follow it with "runwarden show ${runId}".`
  return { type: 'InvalidTransition', message, runId: run.state.runId, status: run.state.status }
}

const verbOf: Record<Action, string> = { pauseRun: 'pause', resumeRun: 'resume' }

async function waitAndAnswer(
  deps: UseCaseDeps,
  accepted: Accepted,
  action: Action,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<PauseRunResult> {
  const wish = accepted.state.pause?.revision
  const reached = (run: RunState) => isAsAsked(run, action) || isOvertaken(run, wish)
  const wait = AbortSignal.any([AbortSignal.timeout(timeoutMs), signal])
  const seen = await waitForRun(deps.feed, accepted, reached, wait)
  const run = await deps.projected(seen.state, seen.position)
  const success = isAsAsked(run, action)
  return {
    type: 'PauseRunAnswer',
    success,
    run,
    message: messageOf(run, action, success, isOvertaken(seen.state, wish)),
    joined: accepted.joined,
    waitExpired: !reached(seen.state),
  }
}

/** As the host has shown it, and as it is still wanted. */
const isAsAsked = (run: RunState, action: Action) =>
  action === 'pauseRun'
    ? run.status === 'PAUSED' && run.pause?.paused === true
    : run.status === 'RUNNING' && !standsStill(run) && run.pause?.paused !== true

/** Somebody wanted something else since, or it is coming to its end. */
const isOvertaken = (run: RunState, wish: number | undefined) =>
  isTerminal(run.status) || run.kill !== null || run.rootExit !== null || run.pause?.revision !== wish

function messageOf(run: RunState, action: Action, success: boolean, overtaken: boolean): string {
  if (success) {
    return action === 'pauseRun'
      ? 'Paused: no process of the run goes on until it is resumed, and its clocks stand still.'
      : 'The run goes on.'
  }
  if (isTerminal(run.status)) return `The run has ended as ${run.status} meanwhile.`
  if (overtaken) return `Something else was asked for meanwhile: the run is ${run.status}.`
  if (run.status === 'REQUESTED') {
    return `The run has not been started yet; it ${action === 'pauseRun' ? 'is paused as soon as it has' : 'starts as any other'}.`
  }
  return action === 'pauseRun'
    ? 'It is recorded that the run is to stand still; its host is at it. See: runwarden show.'
    : 'It is recorded that the run is to go on; its host is at it. See: runwarden show.'
}
