import type pg from 'pg'
import type { RecordedEvent } from '../src/domain/event.ts'
import { versionOf, type WorkflowVersion } from '../src/domain/workflow.ts'
import { readWorkflowEvent } from '../src/domain/workflow-events.ts'
import type { Projection } from './projection.ts'

/** Every version of every workflow, and which one is in force. */
export const workflows: Projection = {
  name: 'workflows',
  version: 1,
  tables: ['workflows', 'workflow_versions'],
  ddl: `
    CREATE TABLE workflows (
      name text COLLATE "C" PRIMARY KEY,
      version integer NOT NULL,
      definition jsonb NOT NULL,
      defined_at timestamptz NOT NULL,
      defined_by_kind text NOT NULL,
      defined_by_id text NOT NULL
    );
    CREATE TABLE workflow_versions (
      name text COLLATE "C",
      version integer,
      definition jsonb NOT NULL,
      defined_at timestamptz NOT NULL,
      defined_by_kind text NOT NULL,
      defined_by_id text NOT NULL,
      PRIMARY KEY (name, version)
    );`,
  streamPrefixes: ['workflow-'],
  fold,
}

async function fold(events: readonly RecordedEvent[], client: pg.ClientBase): Promise<void> {
  const versions = events
    .map(readWorkflowEvent)
    .filter((event) => event !== undefined)
    .map(versionOf)
  if (versions.length === 0) return
  await insert(client, 'workflow_versions', versions)
  const latest = new Map(versions.map((version) => [version.name, version]))
  await insert(
    client,
    'workflows',
    [...latest.values()],
    `ON CONFLICT (name) DO UPDATE SET version = excluded.version, definition = excluded.definition,
       defined_at = excluded.defined_at, defined_by_kind = excluded.defined_by_kind,
       defined_by_id = excluded.defined_by_id`,
  )
}

async function insert(client: pg.ClientBase, table: string, versions: WorkflowVersion[], onConflict = '') {
  const rows = versions.map(({ name, version, definition, definedAt, definedBy }) => ({
    ...{ name, version, definition },
    defined_at: definedAt,
    defined_by_kind: definedBy.kind,
    defined_by_id: definedBy.id,
  }))
  const columns = 'name, version, definition, defined_at, defined_by_kind, defined_by_id'
  await client.query(
    `INSERT INTO ${table} (${columns})
     SELECT ${columns} FROM json_to_recordset($1) AS r (name text, version integer, definition jsonb,
       defined_at timestamptz, defined_by_kind text, defined_by_id text)
     ${onConflict}`,
    [JSON.stringify(rows)],
  )
}
