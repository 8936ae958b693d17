import type pg from 'pg'
import { type RecordedAlertEvent, readAlertEvent } from '../src/domain/alert-events.ts'
import type { RecordedEvent } from '../src/domain/event.ts'
import type { Projection } from './projection.ts'

/** What people are alerted to: one row per alert, as it was last raised; open until it is resolved. */
export const alerts: Projection = {
  name: 'alerts',
  version: 2,
  tables: ['alerts'],
  ddl: `
    CREATE TABLE alerts (
      key text COLLATE "C" PRIMARY KEY,
      kind text NOT NULL,
      severity text NOT NULL,
      run_id text COLLATE "C",
      workflow text,
      message text NOT NULL,
      evidence jsonb NOT NULL,
      raised_at timestamptz NOT NULL,
      resolved_at timestamptz,
      why text
    );
    CREATE INDEX alerts_open_newest ON alerts (raised_at DESC, key DESC) WHERE resolved_at IS NULL;
    CREATE INDEX alerts_newest ON alerts (raised_at DESC, key DESC);
    CREATE INDEX alerts_run ON alerts (run_id);`,
  streamPrefixes: ['alert-'],
  fold,
}

/** One by one: alerts are few, and the same one may be raised and resolved within a batch. */
async function fold(events: readonly RecordedEvent[], client: pg.ClientBase): Promise<void> {
  for (const event of events) {
    const alertEvent = readAlertEvent(event)
    if (alertEvent !== undefined) await apply(client, alertEvent)
  }
}

const keyOf = (stream: string) => stream.slice('alert-'.length)

async function apply(client: pg.ClientBase, event: RecordedAlertEvent): Promise<void> {
  const { stream, metadata } = event
  if (event.type === 'AlertResolved') {
    await client.query('UPDATE alerts SET resolved_at = $2, why = $3 WHERE key = $1 AND resolved_at IS NULL', [
      keyOf(stream),
      metadata.occurredAt,
      event.data.why,
    ])
    return
  }
  const { kind, severity, runId, workflow, message, evidence } = event.data
  await client.query(
    `INSERT INTO alerts (key, kind, severity, run_id, workflow, message, evidence, raised_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
     ON CONFLICT (key) DO UPDATE SET severity = excluded.severity, message = excluded.message,
       evidence = excluded.evidence, raised_at = excluded.raised_at, resolved_at = NULL, why = NULL`,
    [keyOf(stream), kind, severity, runId, workflow, message, JSON.stringify(evidence), metadata.occurredAt],
  )
}
