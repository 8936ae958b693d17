import type pg from 'pg'
import type { RunId } from '../domain/ids.ts'
import type { RunState } from '../domain/run-state.ts'
import { ask } from './queries/ask.ts'

type Known = { version: string; state: RunState }

const live = `host = $1 AND status IN ('RUNNING', 'PAUSED', 'KILLING', 'KILL_UNVERIFIED')`
/** Each change makes a new version of a row: another transaction's, or at another place. */
const version = `xmin || ' ' || ctid AS version`

/**
 * Those of a host that were started and have not ended, as the read model has them now. Their states are large, and most
 * are what they were a moment ago: only those whose row has changed since the call before are fetched.
 */
export function createLiveRuns(pool: pg.Pool, hostId: string): () => Promise<RunState[]> {
  let known = new Map<RunId, Known>()

  /** @throws StoreUnavailable */
  return async function liveRuns() {
    const rows = await ask<{ run_id: RunId; version: string }>(
      pool,
      `SELECT run_id, ${version} FROM runs WHERE ${live}`,
      [hostId],
    )
    const unchanged = rows.flatMap(({ run_id, version }) => {
      const run = known.get(run_id)
      return run?.version === version ? run : []
    })
    const before = new Set(unchanged.map(({ state }) => state.runId))
    const others = rows.flatMap(({ run_id }) => (before.has(run_id) ? [] : run_id))
    const changed = others.length === 0 ? [] : await fetchRuns(pool, hostId, others)
    known = new Map([...unchanged, ...changed].map((run) => [run.state.runId, run]))
    return [...known.values()].map(({ state }) => state)
  }
}

/** One that has ended meanwhile is left out. */
const fetchRuns = (pool: pg.Pool, hostId: string, runIds: RunId[]) =>
  ask<Known>(pool, `SELECT state, ${version} FROM runs WHERE ${live} AND run_id = ANY($2)`, [hostId, runIds])
