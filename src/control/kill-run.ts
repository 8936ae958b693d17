import { sectionsText } from '../domain/critical-section.ts'
import type { RequestKill } from '../domain/decide.ts'
import { isOwner } from '../domain/event.ts'
import { type RunId, runIdSchema } from '../domain/ids.ts'
import { shownBy, survivorsText } from '../domain/receipt.ts'
import type { KillKind } from '../domain/run-events.ts'
import { isTerminal, type RunState } from '../domain/run-state.ts'
import { StoreUnavailable } from '../event-store/event-store.ts'
import type { Acted } from './audit-log.ts'
import type {
  AlreadyEnded,
  IdempotencyConflict,
  KillRunAnswer,
  KillRunResult,
  KillWait,
  RequestContext,
  RunNotFound,
} from './control.ts'
import { earlierKill } from './earlier-kill.ts'
import { type AskedHost, answerOfHost, killWithoutStore } from './emergency-kill.ts'
import { type Executed, execute } from './execute.ts'
import { type KillRunInput, killRunInputSchema, parseInput } from './inputs.ts'
import { loadRun } from './run-log.ts'
import { notFound } from './run-not-found.ts'
import type { UseCaseDeps } from './use-case.ts'
import { waitForRun } from './wait-for-run.ts'

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
  const { kind, idempotencyKey } = command
  const attempt = { action, target: runId, reason: reason ?? null, details: { kind, idempotencyKey } }
  const evenWhileAway = kind === 'emergency' && isOwner(context.actor)
  const { store, audit } = evenWhileAway ? deps.hurried : deps
  const act = async (recordedIn: 'store' | 'spool'): Promise<Acted<Recorded>> => {
    const known = runIdSchema.safeParse(runId)
    if (!known.success) return failed(notFound(runId))
    try {
      if (recordedIn === 'spool') return await killWithoutStore(deps, context, known.data, command)
      const done = await request({ ...deps, store }, context, known.data, command)
      return 'type' in done ? failed(done) : { result: { accepted: done }, ...acceptance(done) }
    } catch (error) {
      if (recordedIn === 'spool' || !evenWhileAway || !(error instanceof StoreUnavailable)) throw error
      return killWithoutStore(deps, context, known.data, command)
    }
  }
  const recorded = await audit.allowed<Recorded>(context, attempt, act, { evenWhileAway })
  if ('failure' in recorded) return recorded.failure
  if ('asked' in recorded) {
    return answerOfHost(deps.host, recorded.asked, { waitFor, timeoutMs, signal }, 'server')
  }
  return waitAndAnswer(deps, recorded.accepted, waitFor, timeoutMs, signal)
}

type Accepted = Extract<Executed, { ok: true }>
type Failure = RunNotFound | AlreadyEnded | IdempotencyConflict
type Recorded = { accepted: Accepted } | { asked: AskedHost } | { failure: Failure }

const failed = (failure: Failure): Acted<Recorded> => ({
  result: { failure },
  outcome: failure.type,
  detail: failure.message,
})

const targetOf = (input: unknown) => {
  const runId = (input as { runId?: unknown } | null)?.runId
  return typeof runId === 'string' ? runId : null
}

function commandOf({ force, emergency, reason, idempotencyKey }: KillRunInput): RequestKill {
  const kind = emergency ? 'emergency' : force ? 'force' : 'graceful'
  return { type: 'RequestKill', kind, reason: reason ?? null, idempotencyKey }
}

/** A retry with the same key gets what the first request got, whatever has become of the run since. */
async function request(
  deps: UseCaseDeps,
  context: RequestContext,
  runId: RunId,
  command: RequestKill,
): Promise<Accepted | Failure> {
  const { idempotencyKey, kind } = command
  const earlier =
    idempotencyKey === undefined ? undefined : await earlierKill(deps.store, runId, context.actor, idempotencyKey)
  if (earlier !== undefined && earlier !== kind) return conflict(runId, idempotencyKey, earlier)
  if (earlier !== undefined) {
    const loaded = await loadRun(deps.store, runId)
    if (loaded !== undefined) return { ok: true, ...loaded, joined: true }
  }
  const executed = await execute(deps.store, context, runId, command, deps.now)
  if (!executed.ok) return failureOf(executed, runId, deps)
  deps.tellOfKill(executed)
  return executed
}

const conflict = (runId: RunId, idempotencyKey: string | undefined, earlier: KillKind): IdempotencyConflict => ({
  type: 'IdempotencyConflict',
  message:
    `The idempotency key ${JSON.stringify(idempotencyKey)} was used for a ${earlier} kill of ${runId}. ` +
    'Use a new key for another kind of kill.',
  runId,
})

async function failureOf(
  refused: Extract<Executed, { ok: false }>,
  runId: string,
  deps: UseCaseDeps,
): Promise<RunNotFound | AlreadyEnded> {
  if (refused.rejection.code !== 'AlreadyEnded' || refused.run === undefined) return notFound(runId)
  const { status, endedAt } = refused.rejection
  return {
    type: 'AlreadyEnded',
    message: `Run ${runId} ended as ${status} at ${endedAt}; there is nothing left to kill.${restartedAs(refused.run.state)}`,
    run: await deps.projected(refused.run.state, refused.run.position),
  }
}

const restartedAs = ({ restartedAs }: RunState) =>
  restartedAs === null ? '' : ` It was restarted as ${restartedAs}, which is a run of its own.`

const acceptance = (executed: Accepted) =>
  executed.joined
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
  const until = AbortSignal.any([AbortSignal.timeout(timeoutMs), signal])
  const last = waitFor === 'ACCEPTED' ? accepted : await waitForRun(deps.feed, accepted, reached, until)
  const run = await deps.projected(last.state, last.position)
  const proven = run.status !== 'KILL_UNVERIFIED' && run.receipt?.proven === true
  return {
    type: 'KillRunAnswer',
    success: proven,
    runId: run.runId,
    killedAt: wasSignalled(run) ? run.endedAt : null,
    cleanupStatus: run.cleanup.status,
    message: messageOf(run, proven),
    joined: accepted.joined,
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

/** It ended by our signals, whatever it ended as. */
const wasSignalled = (run: RunState) => isTerminal(run.status) && run.firstSignalAt !== null

function cleanupText({ runId, cleanup }: RunState): string {
  if (cleanup.doneAt === null) return 'The cleanup goes on.'
  if (cleanup.status !== 'FAILED') return 'It is cleaned up.'
  const failed = cleanup.steps.filter(({ status }) => status === 'FAILED')
  const why = failed.map(({ step, detail }) => `${step}: ${detail}`).join('; ')
  return `The cleanup FAILED at ${why.slice(0, 1_000)}. What is left: runwarden show ${runId}`
}

function messageOf(run: RunState, proven: boolean): string {
  if (run.status === 'KILL_UNVERIFIED') {
    const survivors = run.receipt === null ? '' : survivorsText(run.receipt)
    return survivors === ''
      ? 'NOT PROVEN DEAD: nobody was found alive, but a check of the receipt did not pass. The host goes on checking.'
      : `NOT PROVEN DEAD: still there: ${survivors}; the receipt says more. The host goes on checking.`
  }
  if (wasSignalled(run) && run.receipt !== null) {
    const killed =
      run.status === 'KILLED'
        ? 'Killed'
        : run.forceComplete !== null
          ? `Killed, and ended as ${run.status} by a decision that was made before`
          : `The run had ended by itself as ${run.status}; what it had left behind was killed`
    return `${killed}; ${shownBy(run.receipt)}. ${cleanupText(run)}`
  }
  if (isTerminal(run.status)) {
    return `The run had ended by itself as ${run.status} before it was signalled; ${proven && run.receipt !== null ? shownBy(run.receipt) : 'no process was ever started'}.`
  }
  if (run.killPhase === 'DEFERRED' && run.kill?.deferral) {
    const { until, sections } = run.kill.deferral
    return `The kill waits for ${sectionsText(sections)}, until ${until} at the latest, and goes on by itself then. A kill by force does not wait.`
  }
  return 'The kill is recorded and goes on: ask again, or follow it with "runwarden events --follow".'
}
