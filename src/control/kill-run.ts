import type { RequestKill } from '../domain/decide.ts'
import { runIdSchema } from '../domain/ids.ts'
import { isTerminal, type RunState } from '../domain/run-state.ts'
import type { AlreadyEnded, KillRunAnswer, KillRunResult, KillWait, RequestContext, RunNotFound } from './control.ts'
import { type Executed, execute } from './execute.ts'
import { type KillRunInput, killRunInputSchema, parseInput } from './inputs.ts'
import type { UseCaseDeps } from './use-case.ts'

const action = 'killRun' as const

/**
 * R1, R4: records the kill, which the run's host then carries out, and waits for as much of it as was asked for.
 * @param signal ends the wait, never the kill.
 */
export async function killRun(
  deps: UseCaseDeps,
  context: RequestContext,
  input: unknown,
  signal: AbortSignal,
): Promise<KillRunResult> {
  const parsed = parseInput(killRunInputSchema, input)
  if (!parsed.ok) {
    const target = targetOf(input)
    await deps.audit.denied(context, { action, target, reason: null, details: {} }, parsed.failure.message)
    return parsed.failure
  }
  const { runId, reason, waitFor, timeoutMs } = parsed.value
  const command = commandOf(parsed.value)
  const attempt = { action, target: runId, reason: reason ?? null, details: { kind: command.kind } }
  const recorded = await deps.audit.allowed<Recorded>(context, attempt, async () => {
    const known = runIdSchema.safeParse(runId)
    const executed = known.success ? await execute(deps.store, context, known.data, command, deps.now) : undefined
    if (executed?.ok) return { result: { accepted: executed }, ...acceptance(executed) }
    const failure = await failureOf(executed, runId, deps)
    return { result: { failure }, outcome: failure.type, detail: failure.message }
  })
  if ('failure' in recorded) return recorded.failure
  return waitAndAnswer(deps, recorded.accepted, waitFor, timeoutMs, signal)
}

type Accepted = Extract<Executed, { ok: true }>
type Refused = Extract<Executed, { ok: false }>
type Recorded = { accepted: Accepted } | { failure: RunNotFound | AlreadyEnded }

const targetOf = (input: unknown) => {
  const runId = (input as { runId?: unknown } | null)?.runId
  return typeof runId === 'string' ? runId : null
}

function commandOf({ force, emergency, reason, idempotencyKey }: KillRunInput): RequestKill {
  const kind = emergency ? 'emergency' : force ? 'force' : 'graceful'
  return { type: 'RequestKill', kind, reason: reason ?? null, idempotencyKey }
}

/** @param refused undefined: what was given is not even a run id. */
async function failureOf(refused: Refused | undefined, runId: string, deps: UseCaseDeps) {
  if (refused?.rejection.code !== 'AlreadyEnded' || refused.state === undefined) return notFound(runId)
  const { status, endedAt } = refused.rejection
  return {
    type: 'AlreadyEnded' as const,
    message: `Run ${runId} ended as ${status} at ${endedAt}; there is nothing left to kill.`,
    run: await deps.projected(refused.state, undefined),
  }
}

const notFound = (runId: string): RunNotFound => ({
  type: 'RunNotFound',
  message: `There is no run ${JSON.stringify(runId.slice(0, 200))}. "runwarden ls --all" lists the runs there are.`,
  runId: runId.slice(0, 200),
})

const acceptance = (executed: Accepted) =>
  executed.position === undefined
    ? {
        outcome: 'JOINED',
        detail: `A ${executed.state.kill?.kind} kill was under way already; this request joined it.`,
      }
    : { outcome: 'ACCEPTED', detail: `A ${executed.state.kill?.kind} kill was recorded.` }

async function waitAndAnswer(
  deps: UseCaseDeps,
  accepted: Accepted,
  waitFor: KillWait,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<KillRunAnswer> {
  const reached = reachedBy[waitFor]
  const timeout = AbortSignal.timeout(timeoutMs)
  const last =
    waitFor === 'ACCEPTED'
      ? accepted
      : ((await deps.feed.wait(accepted.state.runId, reached, AbortSignal.any([timeout, signal]))) ?? accepted)
  const run = await deps.projected(last.state, last.position)
  const proven = run.status !== 'KILL_UNVERIFIED' && run.receipt?.proven === true
  return {
    type: 'KillRunAnswer',
    success: proven,
    runId: run.runId,
    killedAt: run.status === 'KILLED' ? run.endedAt : null,
    cleanupStatus: run.cleanup.status,
    message: messageOf(run, proven),
    joined: accepted.position === undefined,
    waitExpired: !reached(last.state),
    run,
  }
}

/** KILL_UNVERIFIED ends a wait too: the caller must hear of it at once, not at the end of a timeout. */
const reachedBy: Record<KillWait, (run: RunState) => boolean> = {
  ACCEPTED: () => true,
  KILLED: (run) => isTerminal(run.status) || run.status === 'KILL_UNVERIFIED',
  CLEANED: (run) => run.cleanup.doneAt !== null || run.status === 'KILL_UNVERIFIED',
}

function messageOf(run: RunState, proven: boolean): string {
  const survivors = run.receipt?.processes.filter((process) => process.goneAt === null).length ?? 0
  if (run.status === 'KILL_UNVERIFIED') {
    return `NOT PROVEN DEAD: ${survivors} process(es) could not be shown to be gone. The host goes on checking; the receipt names them.`
  }
  if (proven && run.status === 'KILLED') {
    return run.cleanup.doneAt === null
      ? 'Killed; the receipt proves that no process is left. The cleanup goes on.'
      : `Killed and cleaned up; the receipt proves that no process is left.`
  }
  if (isTerminal(run.status)) {
    return `The run had ended by itself as ${run.status} before it was signalled; ${proven ? 'the receipt proves that no process is left' : 'no process was ever started'}.`
  }
  return 'The kill is recorded and goes on: ask again, or follow it with "runwarden events --follow".'
}
