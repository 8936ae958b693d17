import type { RequestKill } from '../domain/decide.ts'
import type { EmergencyKillOutcome, HostLink, RunEnd } from '../domain/host-link.ts'
import type { RunId } from '../domain/ids.ts'
import { shownBy } from '../domain/receipt.ts'
import type { Acted } from './audit-log.ts'
import type { EmergencyKillAnswer, KillWait, RequestContext, RunNotFound } from './control.ts'
import type { UseCaseDeps } from './use-case.ts'

/** A kill that the run's host took in by itself. */
export type AskedHost = { runId: RunId; outcome: EmergencyKillOutcome }

/**
 * An emergency kill while the store is away. The host journals it, with who asked, before it signals anybody; so it is
 * recorded even where the disk is too full for the audit spool. It becomes an event of the run once the store is back.
 */
export async function killWithoutStore(
  { host, now }: Pick<UseCaseDeps, 'host' | 'now'>,
  { actor, correlationId }: RequestContext,
  runId: RunId,
  { reason, idempotencyKey }: RequestKill,
): Promise<Acted<{ asked: AskedHost } | { failure: RunNotFound }>> {
  const requestedAt = now().toISOString()
  const outcome = await host.emergencyKill({
    ...{ runId, requestedBy: actor, requestedAt, correlationId, reason, idempotencyKey },
  })
  if (outcome === undefined) {
    const failure = unknownHere(runId)
    return { result: { failure }, outcome: failure.type, detail: failure.message }
  }
  return { result: { asked: { runId, outcome } }, ...recordOf[outcome] }
}

const unknownHere = (runId: RunId): RunNotFound => ({
  type: 'RunNotFound',
  message:
    `The host of this server has no run ${runId}, and the event store, which could know it, is away. ` +
    'Nothing was signalled.',
  runId,
})

const recordOf: Record<EmergencyKillOutcome, { outcome: string; detail: string }> = {
  accepted: { outcome: 'ACCEPTED', detail: 'An emergency kill was journalled by the host; the event store was away.' },
  joined: { outcome: 'JOINED', detail: 'An emergency kill was under way already; this request joined it.' },
  over: { outcome: 'AlreadyEnded', detail: 'Nothing of the run was left; the event store was away.' },
}

/**
 * Waits for as much of the end as was asked for, by what the host says.
 * @param wait.signal ends the wait, never the kill.
 */
export async function answerOfHost(
  host: HostLink,
  { runId, outcome }: AskedHost,
  { waitFor, timeoutMs, signal }: { waitFor: KillWait; timeoutMs: number; signal: AbortSignal },
  by: keyof typeof words,
): Promise<EmergencyKillAnswer> {
  const until = waitFor === 'ACCEPTED' ? AbortSignal.abort() : AbortSignal.any([AbortSignal.timeout(timeoutMs), signal])
  const end = (await host.awaitEnd(runId, waitFor === 'CLEANED', until)) ?? nothingYet
  const { receipt, cleanup } = end
  const success = receipt?.proven === true
  return {
    type: 'EmergencyKillAnswer',
    success,
    runId,
    killedAt: (success && receipt.timings.provenAt) || null,
    cleanupStatus: cleanup,
    message: `${whatIs(end, outcome, by)} ${words[by].record}`,
    joined: outcome !== 'accepted',
    waitExpired: !reachedBy[waitFor](end),
    receipt,
  }
}

const nothingYet: RunEnd = { over: false, receipt: null, cleanup: 'NONE' }

/** Who carries the kill out, and so what goes on after the answer. */
const words = {
  server: {
    pending: 'The kill is journalled on the host and goes on; ask again to hear of it.',
    unproven: 'The host goes on checking.',
    record: 'The event store is away: the record of it follows when the store is back.',
  },
  command: {
    pending: 'The kill is journalled; the next server finishes it, or this command when it is run again.',
    unproven: 'Nobody goes on checking now but the next server, or this command when it is run again.',
    record: 'No server is running: the record of it follows when one is.',
  },
}

const reachedBy: Record<KillWait, (end: RunEnd) => boolean> = {
  ACCEPTED: () => true,
  KILLED: ({ over, receipt }) => over || receipt?.proven === false,
  CLEANED: ({ receipt, cleanup }) => cleanup === 'DONE' || cleanup === 'FAILED' || receipt?.proven === false,
}

function whatIs({ over, receipt, cleanup }: RunEnd, outcome: EmergencyKillOutcome, by: keyof typeof words): string {
  if (receipt?.proven === false) {
    return `NOT PROVEN DEAD: the receipt says what stands in the way. ${words[by].unproven}`
  }
  if (!over) return words[by].pending
  if (receipt === null) return 'The run had failed to start; no process was ever there.'
  const killed = outcome === 'over' ? 'Nothing of the run was left' : 'Killed'
  return `${killed}; ${shownBy(receipt)}.${cleanup === 'RUNNING' ? ' It is not cleaned up yet.' : ''}`
}
