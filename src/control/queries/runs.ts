import type pg from 'pg'
import { z } from 'zod'
import { canaryWorkflow } from '../../domain/canary-events.ts'
import { runIdSchema } from '../../domain/ids.ts'
import { isTerminal, type RunState, type RunStatus, runStatuses } from '../../domain/run-state.ts'
import { ask, placeholders } from './ask.ts'
import { cursorsOf } from './cursor.ts'
import { type Page, type PageRequest, pageOf } from './page.ts'
import type { RunFilter } from './run-filter.ts'

/** undefined: no such run, or it has not been projected yet. @throws StoreUnavailable */
export async function findRun(pool: pg.Pool, id: string): Promise<RunState | undefined> {
  return (await findRuns(pool, [id]))[0]
}

/** Those of the runs that there are, in no order. @throws StoreUnavailable */
export async function findRuns(pool: pg.Pool, ids: readonly string[]): Promise<RunState[]> {
  const rows = await ask<{ state: RunState }>(pool, 'SELECT state FROM runs WHERE run_id = ANY($1)', [ids])
  return rows.map(({ state }) => state)
}

// Ids are hex digits in the C collation: what begins with a text stands between it and that text with a g.
const cursors = cursorsOf('runs', z.tuple([z.iso.datetime(), runIdSchema]))

/**
 * Newest first: by the time of the request, then by id. Pages stay as they are while runs are added.
 *
 * Each status is its own walk down an index that has the list's order, at most a page long: so a page costs the same
 * among a million runs, whichever filter.
 * @param page `first` is 1–500.
 * @throws InvalidCursor, StoreUnavailable
 */
export async function listRuns(pool: pg.Pool, filter: RunFilter, page: PageRequest): Promise<Page<RunState>> {
  const { values, $ } = placeholders()
  const after = page.after == null ? undefined : cursors.decode(page.after)
  const limit = $(page.first + 1)
  const rows = await ask<{ state: RunState }>(
    pool,
    `SELECT state FROM (
       SELECT found.run_id FROM unnest(${$(statusesOf(filter))}::text[]) AS wanted (status) CROSS JOIN LATERAL (
         SELECT run_id, requested_at FROM runs
         WHERE status = wanted.status
           ${filter.workflow === undefined ? '' : `AND workflow = ${$(filter.workflow)}`}
           ${filter.canary === undefined ? '' : `AND workflow ${filter.canary ? '=' : '<>'} ${$(canaryWorkflow)}`}
           ${filter.labels === undefined ? '' : `AND labels @> ${$(JSON.stringify(filter.labels))}::jsonb`}
           ${filter.idPrefix === undefined ? '' : `AND run_id >= ${$(filter.idPrefix)} AND run_id < ${$(`${filter.idPrefix}g`)}`}
           ${after === undefined ? '' : `AND (requested_at, run_id) < (${$(after[0])}::timestamptz, ${$(after[1])})`}
         ORDER BY requested_at DESC, run_id DESC LIMIT ${limit}
       ) AS found
       ORDER BY found.requested_at DESC, found.run_id DESC LIMIT ${limit}
     ) AS newest JOIN runs USING (run_id)
     ORDER BY requested_at DESC, run_id DESC`,
    values,
  )
  return pageOf(
    rows.map(({ state }) => state),
    page.first,
    (state) => cursors.encode([state.requestedAt, state.runId]),
  )
}

/** Live: a run that has not ended, so that something of it may be there or is about to be. */
const statusesOf = ({ status, live }: RunFilter): RunStatus[] =>
  [...new Set(status ?? runStatuses)].filter((name) => live === undefined || isTerminal(name) !== live)

/** Whether the list with this filter has the run. */
export const matches = (run: RunState, filter: RunFilter): boolean =>
  statusesOf(filter).includes(run.status) &&
  (filter.workflow === undefined || filter.workflow === run.workflow) &&
  (filter.canary === undefined || filter.canary === (run.workflow === canaryWorkflow)) &&
  Object.entries(filter.labels ?? {}).every(([name, value]) => run.labels[name] === value) &&
  run.runId.startsWith(filter.idPrefix ?? '')
