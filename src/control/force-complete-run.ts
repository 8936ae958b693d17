import type { RequestForceComplete } from '../domain/decide.ts'
import { runIdSchema } from '../domain/ids.ts'
import { shownBy } from '../domain/receipt.ts'
import { isTerminal, type RunState } from '../domain/run-state.ts'
import type { AlreadyEnded, ForceCompleteRunResult, InvalidTransition, RequestContext, RunNotFound } from './control.ts'
import { type Executed, execute } from './execute.ts'
import { forceCompleteRunInputSchema, parseInput } from './inputs.ts'
import { notFound } from './run-not-found.ts'
import type { UseCaseDeps } from './use-case.ts'
import { waitForRun } from './wait-for-run.ts'

const action = 'forceCompleteRun' as const

/**
 * R3: ends a run as completed or failed by decision. A live process is killed first, through the one path, and the
 * outcome is given only on the receipt.
 * @param signal ends the wait, never what goes on.
 */
export async function forceCompleteRun(
  deps: UseCaseDeps,
  context: RequestContext,
  input: unknown,
  signal: AbortSignal,
): Promise<ForceCompleteRunResult> {
  const parsed = parseInput(forceCompleteRunInputSchema, input)
  if (!parsed.ok) {
    await deps.audit.denied(context, { action, target: null, reason: null, details: {} }, parsed.failure.message)
    return parsed.failure
  }
  const { runId, outcome, timeoutMs } = parsed.value
  const reason = parsed.value.reason ?? null
  const command: RequestForceComplete = { type: 'RequestForceComplete', outcome, reason }
  const attempt = { action, target: runId, reason, details: { outcome } }
  const recorded = await deps.audit.allowed<Recorded>(context, attempt, async () => {
    const known = runIdSchema.safeParse(runId)
    const executed = known.success ? await execute(deps.store, context, known.data, command, deps.now) : undefined
    if (executed?.ok) {
      deps.tellOfKill(executed)
      return { result: { accepted: executed }, ...acceptance(executed, outcome) }
    }
    const failure = executed === undefined ? notFound(runId) : await failureOf(deps, executed, runId)
    return { result: { failure }, outcome: failure.type, detail: failure.message }
  })
  if ('failure' in recorded) return recorded.failure
  return waitAndAnswer(deps, recorded.accepted, timeoutMs, signal)
}

type Accepted = Extract<Executed, { ok: true }>
type Failure = RunNotFound | AlreadyEnded | InvalidTransition
type Recorded = { accepted: Accepted } | { failure: Failure }

const acceptance = ({ joined }: Accepted, outcome: string) => ({
  outcome: joined ? 'JOINED' : 'ACCEPTED',
  detail: `The run is ended as ${outcome} as soon as it is proven dead.`,
})

async function failureOf(
  deps: UseCaseDeps,
  { rejection, run }: Extract<Executed, { ok: false }>,
  runId: string,
): Promise<Failure> {
  if (run === undefined) return notFound(runId)
  if (rejection.code === 'AlreadyEnded') {
    const message = `Run ${runId} ended as ${rejection.status} at ${rejection.endedAt}; that stands.`
    return { type: 'AlreadyEnded', message, run: await deps.projected(run.state, run.position) }
  }
  if (rejection.code !== 'OtherOutcome') return notFound(runId)
  const message = `Run ${runId} is being ended as ${rejection.outcome} already; that decision stands.`
  return { type: 'InvalidTransition', message, runId: run.state.runId, status: run.state.status }
}

async function waitAndAnswer(
  deps: UseCaseDeps,
  accepted: Accepted,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ForceCompleteRunResult> {
  const reached = (run: RunState) => run.cleanup.doneAt !== null || run.status === 'KILL_UNVERIFIED'
  const wait = AbortSignal.any([AbortSignal.timeout(timeoutMs), signal])
  const seen = await waitForRun(deps.feed, accepted, reached, wait)
  const run = await deps.projected(seen.state, seen.position)
  return {
    type: 'ForceCompleteRunAnswer',
    success: isTerminal(run.status),
    run,
    message: messageOf(run),
    joined: accepted.joined,
    waitExpired: !reached(seen.state),
  }
}

function messageOf(run: RunState): string {
  if (run.status === 'KILL_UNVERIFIED') {
    return 'NOT PROVEN DEAD: the decision stands, and takes effect as soon as the proof is there. The receipt says what lives.'
  }
  if (!isTerminal(run.status)) return 'The decision is recorded; it takes effect as soon as the run is proven dead.'
  const decided = run.forceComplete?.outcome === run.status
  return decided
    ? `Ended as ${run.status} by decision${run.receipt === null ? '' : `; ${shownBy(run.receipt)}`}.`
    : `The run had ended by itself as ${run.status} before it was signalled; that stands.`
}
