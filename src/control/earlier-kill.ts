import { readAuditEvent } from '../domain/audit-events.ts'
import type { Actor } from '../domain/event.ts'
import { auditStream, type RunId } from '../domain/ids.ts'
import { type KillKind, killKindSchema } from '../domain/run-events.ts'
import type { EventStore } from '../event-store/event-store.ts'

/** Outcomes of an attempt whose kill went ahead. */
const wentAhead = ['ACCEPTED', 'JOINED']

/**
 * What the same actor asked for with the same idempotency key before. The audit knows, also of a request that joined
 * another one and left no event of its own on the run.
 * @returns undefined when the key is new
 */
export async function earlierKill(
  store: EventStore,
  runId: RunId,
  actor: Actor,
  idempotencyKey: string,
): Promise<KillKind | undefined> {
  const attempts = new Map<string, KillKind>()
  for await (const event of store.readStream(auditStream(runId))) {
    const audit = readAuditEvent(event)
    if (audit?.type === 'ActionAttempted') {
      const { action, details, attemptId } = audit.data
      const by = audit.metadata.actor
      const isSame = details.idempotencyKey === idempotencyKey && by.kind === actor.kind && by.id === actor.id
      if (action === 'killRun' && isSame) attempts.set(attemptId, killKindSchema.parse(details.kind))
    }
    if (audit?.type === 'ActionCompleted' && wentAhead.includes(audit.data.outcome)) {
      const kind = attempts.get(audit.data.attemptId)
      if (kind !== undefined) return kind
    }
  }
  return undefined
}
