import type pg from 'pg'
import { z } from 'zod'
import type { AlertKind, AlertSeverity } from '../../domain/alert-events.ts'
import type { RunId } from '../../domain/ids.ts'
import type { Evidence } from '../../domain/run-events.ts'
import { ask, placeholders } from './ask.ts'
import { cursorsOf } from './cursor.ts'
import { type Page, type PageRequest, pageOf } from './page.ts'

/** What people are alerted to. Times are ISO 8601 UTC. */
export type Alert = {
  /** The same for the same matter of the same run or host, however often it is raised. */
  key: string
  kind: AlertKind
  severity: AlertSeverity
  /** null, as is the workflow: it is about a host. */
  runId: RunId | null
  workflow: string | null
  message: string
  evidence: Evidence[]
  raisedAt: string
  /** null: it is open. */
  resolvedAt: string | null
  /** Why it is over. */
  why: string | null
}

/** Without `open`: all. */
export type AlertFilter = { open?: boolean; runId?: string }

type AlertRow = {
  key: string
  kind: AlertKind
  severity: AlertSeverity
  run_id: RunId | null
  workflow: string | null
  message: string
  evidence: Evidence[]
  raised_at: Date
  resolved_at: Date | null
  why: string | null
}

const columns = 'key, kind, severity, run_id, workflow, message, evidence, raised_at, resolved_at, why'

/** Where an alert stands in lists: by the time it was raised, then by its key. */
export const alertPlaceSchema = z.tuple([z.iso.datetime(), z.string()])
export type AlertPlace = z.infer<typeof alertPlaceSchema>
export const placeOf = ({ raisedAt, key }: Alert): AlertPlace => [raisedAt, key]

const pages = cursorsOf('alerts', alertPlaceSchema)

/** Newest first. @throws InvalidCursor, StoreUnavailable */
export async function listAlerts(pool: pg.Pool, filter: AlertFilter, page: PageRequest): Promise<Page<Alert>> {
  const { values, $ } = placeholders()
  const after = page.after == null ? undefined : pages.decode(page.after)
  const rows = await ask<AlertRow>(
    pool,
    `SELECT ${columns} FROM alerts
     WHERE true
       ${filter.open === undefined ? '' : `AND resolved_at IS ${filter.open ? '' : 'NOT '}NULL`}
       ${filter.runId === undefined ? '' : `AND run_id = ${$(filter.runId)}`}
       ${after === undefined ? '' : `AND (raised_at, key) < (${$(after[0])}::timestamptz, ${$(after[1])})`}
     ORDER BY raised_at DESC, key DESC LIMIT ${$(page.first + 1)}`,
    values,
  )
  return pageOf(rows.map(alertOf), page.first, (alert) => pages.encode(placeOf(alert)))
}

/** Those that are open, oldest first. @param after where to go on. @throws StoreUnavailable */
export async function openAlerts(pool: pg.Pool, after: AlertPlace | undefined): Promise<Alert[]> {
  const rows = await ask<AlertRow>(
    pool,
    `SELECT ${columns} FROM alerts
     WHERE resolved_at IS NULL ${after === undefined ? '' : 'AND (raised_at, key) > ($1::timestamptz, $2)'}
     ORDER BY raised_at, key`,
    after ?? [],
  )
  return rows.map(alertOf)
}

const alertOf = (row: AlertRow): Alert => ({
  key: row.key,
  kind: row.kind,
  severity: row.severity,
  runId: row.run_id,
  workflow: row.workflow,
  message: row.message,
  evidence: row.evidence,
  raisedAt: row.raised_at.toISOString(),
  resolvedAt: row.resolved_at?.toISOString() ?? null,
  why: row.why,
})
