import type pg from 'pg'
import { type RecordedAuditEvent, readAuditEvent } from '../src/domain/audit-events.ts'
import type { RecordedEvent } from '../src/domain/event.ts'
import { runOfStream } from '../src/domain/ids.ts'
import type { Projection } from './projection.ts'

/** R20: one row per attempt, refused ones too; its outcome is added when it is known. */
export const audit: Projection = {
  name: 'audit',
  version: 1,
  tables: ['audit'],
  ddl: `
    CREATE TABLE audit (
      attempt_id uuid PRIMARY KEY,
      run_id text COLLATE "C",
      target text,
      action text NOT NULL,
      actor_kind text NOT NULL,
      actor_id text NOT NULL,
      correlation_id text NOT NULL,
      occurred_at timestamptz NOT NULL,
      reason text,
      details jsonb NOT NULL,
      decision text NOT NULL,
      why text NOT NULL,
      outcome text,
      completed_at timestamptz,
      detail text
    );
    CREATE INDEX audit_newest ON audit (occurred_at DESC, attempt_id DESC);
    CREATE INDEX audit_run_newest ON audit (run_id, occurred_at DESC, attempt_id DESC);`,
  streamPrefixes: ['audit-'],
  fold,
}

async function fold(events: readonly RecordedEvent[], client: pg.ClientBase): Promise<void> {
  const known = events.map(readAuditEvent).filter((event) => event !== undefined)
  const attempted = known.filter((event) => event.type === 'ActionAttempted')
  const completed = known.filter((event) => event.type === 'ActionCompleted')
  if (attempted.length > 0) await insert(client, attempted)
  if (completed.length > 0) await complete(client, completed)
}

type Of<Type extends RecordedAuditEvent['type']> = Extract<RecordedAuditEvent, { type: Type }>

async function insert(client: pg.ClientBase, events: Of<'ActionAttempted'>[]): Promise<void> {
  const rows = events.map(({ stream, data, metadata }) => ({
    attempt_id: data.attemptId,
    run_id: runOfStream(stream) ?? null,
    target: data.target,
    action: data.action,
    actor_kind: metadata.actor.kind,
    actor_id: metadata.actor.id,
    correlation_id: metadata.correlationId,
    occurred_at: metadata.occurredAt,
    reason: data.reason,
    details: data.details,
    decision: data.decision,
    why: data.why,
  }))
  await client.query(
    `INSERT INTO audit (attempt_id, run_id, target, action, actor_kind, actor_id, correlation_id, occurred_at, reason,
       details, decision, why)
     SELECT attempt_id, run_id, target, action, actor_kind, actor_id, correlation_id, occurred_at, reason,
       details, decision, why
     FROM json_to_recordset($1) AS r (attempt_id uuid, run_id text, target text, action text, actor_kind text,
       actor_id text, correlation_id text, occurred_at timestamptz, reason text, details jsonb, decision text, why text)
     ON CONFLICT (attempt_id) DO NOTHING`,
    [JSON.stringify(rows)],
  )
}

/** An attempt has one outcome: the first stands. */
async function complete(client: pg.ClientBase, events: Of<'ActionCompleted'>[]): Promise<void> {
  const first = new Map<string, object>()
  for (const { data, metadata } of events) {
    if (first.has(data.attemptId)) continue
    const { attemptId, outcome, detail } = data
    first.set(attemptId, { attempt_id: attemptId, outcome, detail, completed_at: metadata.occurredAt })
  }
  await client.query(
    `UPDATE audit SET outcome = r.outcome, detail = r.detail, completed_at = r.completed_at
     FROM json_to_recordset($1) AS r (attempt_id uuid, outcome text, detail text, completed_at timestamptz)
     WHERE audit.attempt_id = r.attempt_id AND audit.outcome IS NULL`,
    [JSON.stringify([...first.values()])],
  )
}
