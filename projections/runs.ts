import type pg from 'pg'
import type { RecordedEvent } from '../src/domain/event.ts'
import { foldRun } from '../src/domain/fold-run.ts'
import { type RunId, runOfStream } from '../src/domain/ids.ts'
import type { RunState } from '../src/domain/run-state.ts'
import type { Projection } from './projection.ts'

/** Every run as the domain folds it, with columns for what lists filter and sort by. */
export const runs: Projection = {
  name: 'runs',
  version: 11,
  tables: ['runs'],
  // The free space lets most updates stay on their page and touch no index: a heartbeat changes none of the columns.
  ddl: `
    CREATE TABLE runs (
      run_id text COLLATE "C" PRIMARY KEY,
      workflow text NOT NULL,
      host text NOT NULL,
      status text NOT NULL,
      requested_at timestamptz NOT NULL,
      started_at timestamptz,
      ended_at timestamptz,
      labels jsonb NOT NULL,
      state jsonb NOT NULL
    ) WITH (fillfactor = 70);
    CREATE INDEX runs_status_newest ON runs (status, requested_at DESC, run_id DESC);
    CREATE INDEX runs_workflow_status_newest ON runs (workflow, status, requested_at DESC, run_id DESC);
    CREATE INDEX runs_labels ON runs USING gin (labels jsonb_path_ops);`,
  streamPrefixes: ['run-', 'telemetry-'],
  fold,
}

async function fold(events: readonly RecordedEvent[], client: pg.ClientBase): Promise<void> {
  const before = await load(client, runIdsOf(events))
  const after = new Map<RunId, RunState>()
  for (const event of events) {
    const runId = runOfStream(event.stream)
    if (runId === undefined) continue
    const state = foldRun(after.get(runId) ?? before.get(runId), event)
    if (state !== undefined) after.set(runId, state)
  }
  if (after.size > 0) await save(client, [...after.values()])
}

/** The runs that the events belong to, each once. */
export const runIdsOf = (events: readonly RecordedEvent[]): RunId[] => [
  ...new Set(events.map((event) => runOfStream(event.stream)).filter((runId) => runId !== undefined)),
]

async function load(client: pg.ClientBase, runIds: RunId[]): Promise<Map<RunId, RunState>> {
  const { rows } = await client.query<{ state: RunState }>('SELECT state FROM runs WHERE run_id = ANY($1)', [runIds])
  return new Map(rows.map(({ state }) => [state.runId, state]))
}

async function save(client: pg.ClientBase, states: RunState[]): Promise<void> {
  await client.query(
    `INSERT INTO runs (run_id, workflow, host, status, requested_at, started_at, ended_at, labels, state)
     SELECT state->>'runId', state->>'workflow', state->>'host', state->>'status',
       (state->>'requestedAt')::timestamptz, (state->>'startedAt')::timestamptz, (state->>'endedAt')::timestamptz, state->'labels', state
     FROM jsonb_array_elements($1) AS state
     ON CONFLICT (run_id) DO UPDATE SET
       status = excluded.status, started_at = excluded.started_at, ended_at = excluded.ended_at, state = excluded.state`,
    [JSON.stringify(states)],
  )
}
