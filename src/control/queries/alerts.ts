import type pg from 'pg'
import { z } from 'zod'
import type { Projector } from '../../../projections/projector.ts'
import type { AlertKind, AlertSeverity } from '../../domain/alert-events.ts'
import type { RunId } from '../../domain/ids.ts'
import type { Evidence } from '../../domain/run-events.ts'
import type { EventStore } from '../../event-store/event-store.ts'
import { ask, placeholders } from './ask.ts'
import { cursorsOf } from './cursor.ts'
import { type Page, type PageRequest, pageOf } from './page.ts'

/** What people are alerted to. Times are ISO 8601 UTC. */
export type Alert = {
  /** The same for the same matter of the same run, however often it is raised. */
  key: string
  kind: AlertKind
  severity: AlertSeverity
  runId: RunId
  workflow: string
  message: string
  evidence: Evidence[]
  raisedAt: string
  /** null: it is open. */
  resolvedAt: string | null
  /** Why it is over. */
  why: string | null
}

/** An alert after it was raised or resolved; `cursor`: where to go on. */
export type AlertChange = { alert: Alert; cursor: string }

/** Without `open`: all. */
export type AlertFilter = { open?: boolean; runId?: string }

type AlertRow = {
  key: string
  kind: AlertKind
  severity: AlertSeverity
  run_id: RunId
  workflow: string
  message: string
  evidence: Evidence[]
  raised_at: Date
  resolved_at: Date | null
  why: string | null
}

const columns = 'key, kind, severity, run_id, workflow, message, evidence, raised_at, resolved_at, why'

const pages = cursorsOf('alerts', z.tuple([z.iso.datetime(), z.string()]))
const changes = cursorsOf('alert-changes', z.number().int().nonnegative())

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
  return pageOf(rows.map(alertOf), page.first, (alert) => pages.encode([alert.raisedAt, alert.key]))
}

/**
 * Each alert after a change, as it is then: those after the cursor (null: from now on), then live, until the signal
 * aborts. Changes of one alert that come together are one.
 * @throws InvalidCursor, ProjectionFailed, StoreUnavailable
 */
export async function* followAlerts(
  store: EventStore,
  projector: Projector,
  pool: pg.Pool,
  after: string | null,
  signal: AbortSignal,
): AsyncGenerator<AlertChange> {
  const from = after === null ? 'end' : changes.decode(after)
  const filter = { streamPrefixes: ['alert-'] }
  for await (const { events, position } of store.subscribe({ after: from, filter, signal })) {
    const keys = [...new Set(events.map(({ stream }) => stream.slice('alert-'.length)))]
    if (keys.length === 0) continue
    await projector.waitFor(position, signal, 'alerts')
    const rows = await ask<AlertRow>(pool, `SELECT ${columns} FROM alerts WHERE key = ANY($1) ORDER BY raised_at`, [
      keys,
    ])
    // Every one of them carries the whole batch's position only at its end: a reader that stops between goes on before it.
    for (const [index, row] of rows.entries()) {
      const reached = index === rows.length - 1 ? position : Math.max((events[0]?.position ?? 1) - 1, 0)
      yield { alert: alertOf(row), cursor: changes.encode(reached) }
    }
  }
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
