import type pg from 'pg'
import type { RecordedEvent } from '../src/domain/event.ts'
import { runOfStream } from '../src/domain/ids.ts'
import { summarise } from '../src/domain/summary.ts'
import type { Projection } from './projection.ts'

/** Every lifecycle event of every run as a line that people can read. */
export const runTimeline: Projection = {
  name: 'run_timeline',
  version: 4,
  tables: ['run_timeline'],
  ddl: `
    CREATE TABLE run_timeline (
      run_id text COLLATE "C" NOT NULL,
      revision bigint NOT NULL,
      type text NOT NULL,
      occurred_at timestamptz NOT NULL,
      actor_kind text NOT NULL,
      actor_id text NOT NULL,
      summary text NOT NULL,
      PRIMARY KEY (run_id, revision)
    );`,
  streamPrefixes: ['run-'],
  fold,
}

async function fold(events: readonly RecordedEvent[], client: pg.ClientBase): Promise<void> {
  const rows = events.map(({ stream, revision, type, metadata }, index) => ({
    run_id: runOfStream(stream),
    revision,
    type,
    occurred_at: metadata.occurredAt,
    actor_kind: metadata.actor.kind,
    actor_id: metadata.actor.id,
    summary: summarise(events[index] as RecordedEvent),
  }))
  await client.query(
    `INSERT INTO run_timeline (run_id, revision, type, occurred_at, actor_kind, actor_id, summary)
     SELECT run_id, revision, type, occurred_at, actor_kind, actor_id, summary
     FROM json_to_recordset($1) AS r (run_id text, revision bigint, type text, occurred_at timestamptz,
       actor_kind text, actor_id text, summary text)`,
    [JSON.stringify(rows.filter((row) => row.run_id !== undefined))],
  )
}
