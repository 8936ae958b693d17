import type pg from 'pg'
import { z } from 'zod'
import type { Actor } from '../../domain/event.ts'
import type { RunId } from '../../domain/ids.ts'
import { ask, placeholders } from './ask.ts'
import { cursorsOf } from './cursor.ts'
import { type Page, type PageRequest, pageOf } from './page.ts'
import { findRun } from './runs.ts'

/** R20: one attempt, and what came of it. Times are ISO 8601 UTC. */
export type AuditEntry = {
  attemptId: string
  /** null where the target is no well-formed run id. */
  runId: string | null
  /** As it was given. */
  target: string | null
  action: string
  actor: Actor
  correlationId: string
  at: string
  reason: string | null
  /** Further details of the attempt, such as `{force: true}`. */
  details: Record<string, unknown>
  decision: 'allowed' | 'denied'
  why: string
  /** A code such as ACCEPTED, JOINED, RunNotFound; null while it is not known, and of a denied attempt. */
  outcome: string | null
  completedAt: string | null
  detail: string | null
}

type AuditRow = {
  attempt_id: string
  run_id: string | null
  target: string | null
  action: string
  actor_kind: Actor['kind']
  actor_id: string
  correlation_id: string
  occurred_at: Date
  reason: string | null
  details: Record<string, unknown>
  decision: 'allowed' | 'denied'
  why: string
  outcome: string | null
  completed_at: Date | null
  detail: string | null
}

const cursors = cursorsOf('audit', z.tuple([z.iso.datetime(), z.uuid()]))

/** Newest first; of a run that a restart made, that restart is the first attempt. @throws InvalidCursor, StoreUnavailable */
export async function listAudit(
  pool: pg.Pool,
  filter: { runId?: string },
  page: PageRequest,
): Promise<Page<AuditEntry>> {
  const { values, $ } = placeholders()
  const after = page.after == null ? undefined : cursors.decode(page.after)
  const birth = filter.runId === undefined ? undefined : await restartThatMade(pool, filter.runId)
  const $isOf = ({ oldRun, correlationId }: Birth) =>
    `(run_id = ${$(oldRun)} AND action = 'restartRun' AND correlation_id = ${$(correlationId)})`
  const rows = await ask<AuditRow>(
    pool,
    `SELECT attempt_id, run_id, target, action, actor_kind, actor_id, correlation_id, occurred_at, reason, details,
       decision, why, outcome, completed_at, detail
     FROM audit
     WHERE true
       ${filter.runId === undefined ? '' : `AND (run_id = ${$(filter.runId)} ${birth === undefined ? '' : `OR ${$isOf(birth)}`})`}
       ${after === undefined ? '' : `AND (occurred_at, attempt_id) < (${$(after[0])}::timestamptz, ${$(after[1])}::uuid)`}
     ORDER BY occurred_at DESC, attempt_id DESC LIMIT ${$(page.first + 1)}`,
    values,
  )
  return pageOf(rows.map(entryOf), page.first, (entry) => cursors.encode([entry.at, entry.attemptId]))
}

type Birth = { oldRun: RunId; correlationId: string }

/** It was asked of the old run; undefined: no restart made this run. */
async function restartThatMade(pool: pg.Pool, runId: string): Promise<Birth | undefined> {
  const oldRun = (await findRun(pool, runId))?.restartOf
  const restart = oldRun == null ? undefined : (await findRun(pool, oldRun))?.restart
  return oldRun == null || restart == null ? undefined : { oldRun, correlationId: restart.cause.correlationId }
}

const entryOf = (row: AuditRow): AuditEntry => ({
  attemptId: row.attempt_id,
  runId: row.run_id,
  target: row.target,
  action: row.action,
  actor: { kind: row.actor_kind, id: row.actor_id },
  correlationId: row.correlation_id,
  at: row.occurred_at.toISOString(),
  reason: row.reason,
  details: row.details,
  decision: row.decision,
  why: row.why,
  outcome: row.outcome,
  completedAt: row.completed_at?.toISOString() ?? null,
  detail: row.detail,
})
