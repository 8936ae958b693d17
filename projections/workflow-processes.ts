import type pg from 'pg'
import type { RecordedEvent } from '../src/domain/event.ts'
import { type RunId, runOfStream } from '../src/domain/ids.ts'
import type { Receipt } from '../src/domain/receipt.ts'
import { type RecordedRunEvent, readRunEvent } from '../src/domain/run-events.ts'
import { isTerminal, type RunStatus } from '../src/domain/run-state.ts'
import type { Projection } from './projection.ts'
import { runIdsOf } from './runs.ts'

/**
 * R13: which process belongs to which run, for people and tools with plain SQL. A row comes with the request for a run
 * and stays; its pid is there while the root process is.
 */
export const workflowProcesses: Projection = {
  name: 'workflow_processes',
  version: 2,
  tables: ['workflow_processes'],
  ddl: `
    CREATE TABLE workflow_processes (
      run_id TEXT PRIMARY KEY,
      pid INTEGER,
      status TEXT,
      started_at TIMESTAMPTZ,
      workspace_path TEXT,
      last_heartbeat TIMESTAMPTZ,
      created_at TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP
    ) WITH (fillfactor = 70);`,
  streamPrefixes: ['run-', 'telemetry-'],
  fold,
}

/** As the table has it, times as ISO 8601. */
type ProcessRow = {
  run_id: RunId
  pid: number | null
  status: RunStatus
  started_at: string | null
  workspace_path: string | null
  last_heartbeat: string | null
  created_at: string
}

async function fold(events: readonly RecordedEvent[], client: pg.ClientBase): Promise<void> {
  const before = await load(client, runIdsOf(events))
  const after = new Map<RunId, ProcessRow>()
  for (const event of events) {
    const runId = runOfStream(event.stream)
    const runEvent = readRunEvent(event)
    if (runId === undefined || runEvent === undefined) continue
    const row = next(after.get(runId) ?? before.get(runId), runEvent)
    if (row !== undefined) after.set(runId, row)
  }
  if (after.size > 0) await save(client, [...after.values()])
}

/**
 * The same transitions as the domain's `evolve`, for what these columns say; a property test holds the two together.
 * An end is for good, and rests on proof.
 */
function next(row: ProcessRow | undefined, event: RecordedRunEvent): ProcessRow | undefined {
  if (event.type === 'RunRequested') return row ?? requested(event)
  if (row === undefined) return undefined
  if (event.type === 'TelemetrySummarised') {
    return { ...row, last_heartbeat: event.data.lastHeartbeatAt ?? null }
  }
  if (isTerminal(row.status)) return row
  switch (event.type) {
    case 'RunStarted':
      return row.started_at === null ? started(row, event) : row
    case 'HeartbeatRecorded':
      return { ...row, last_heartbeat: event.metadata.occurredAt }
    case 'KillRequested':
      return { ...row, status: 'KILLING' }
    case 'RunPaused':
      return row.status === 'RUNNING' ? { ...row, status: 'PAUSED' } : row
    case 'RunResumed':
      return row.status === 'PAUSED' ? { ...row, status: 'RUNNING' } : row
    case 'KillUnverified':
      return { ...row, status: 'KILL_UNVERIFIED' }
    case 'ProcessExited':
      return { ...row, pid: null }
    case 'RunKilled':
      return ended(row, 'KILLED', event.data.receipt)
    case 'RunCompleted':
      return ended(row, 'COMPLETED', event.data.receipt)
    case 'RunFailed':
      return ended(row, 'FAILED', event.data.receipt)
    case 'RunForceCompleted':
      return ended(row, event.data.outcome, event.data.receipt)
    case 'RunLost':
      return ended(row, 'LOST', event.data.receipt)
    default:
      return row
  }
}

type Of<Type extends RecordedRunEvent['type']> = Extract<RecordedRunEvent, { type: Type }>

const started = (row: ProcessRow, { data }: Of<'RunStarted'>): ProcessRow => ({
  ...row,
  pid: data.root.pid,
  status: row.status === 'REQUESTED' ? 'RUNNING' : row.status,
  started_at: data.startedAt,
  workspace_path: data.workspacePath,
})

/** @param receipt null: the launch failed, so there never was a process. */
function ended(row: ProcessRow, status: RunStatus, receipt: Receipt | null): ProcessRow {
  const proven = receipt === null ? row.started_at === null : receipt.proven && receipt.runId === row.run_id
  return proven ? { ...row, pid: null, status } : row
}

const requested = ({ data, metadata }: Of<'RunRequested'>): ProcessRow => ({
  run_id: data.runId,
  pid: null,
  status: 'REQUESTED',
  started_at: null,
  workspace_path: data.registered?.workspacePath ?? null,
  last_heartbeat: null,
  created_at: metadata.occurredAt,
})

async function load(client: pg.ClientBase, runIds: RunId[]): Promise<Map<RunId, ProcessRow>> {
  const { rows } = await client.query<{ row: ProcessRow }>(
    'SELECT to_json(p) AS row FROM workflow_processes p WHERE run_id = ANY($1)',
    [runIds],
  )
  return new Map(rows.map(({ row }) => [row.run_id, row]))
}

async function save(client: pg.ClientBase, rows: ProcessRow[]): Promise<void> {
  await client.query(
    `INSERT INTO workflow_processes (run_id, pid, status, started_at, workspace_path, last_heartbeat, created_at)
     SELECT run_id, pid, status, started_at, workspace_path, last_heartbeat, created_at
     FROM json_to_recordset($1) AS r (run_id text, pid integer, status text, started_at timestamptz,
       workspace_path text, last_heartbeat timestamptz, created_at timestamptz)
     ON CONFLICT (run_id) DO UPDATE SET pid = excluded.pid, status = excluded.status,
       started_at = excluded.started_at, workspace_path = excluded.workspace_path,
       last_heartbeat = excluded.last_heartbeat`,
    [JSON.stringify(rows)],
  )
}
