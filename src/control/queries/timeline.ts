import type pg from 'pg'
import { z } from 'zod'
import type { Actor } from '../../domain/event.ts'
import { ask } from './ask.ts'
import { cursorsOf } from './cursor.ts'
import { type Page, type PageRequest, pageOf } from './page.ts'

/** One lifecycle event as people read it. */
export type TimelineEntry = {
  revision: number
  type: string
  /** ISO 8601 UTC. */
  at: string
  actor: Actor
  summary: string
}

type TimelineRow = {
  revision: string
  type: string
  occurred_at: Date
  actor_kind: Actor['kind']
  actor_id: string
  summary: string
}

/** Each run has cursors of its own, because in another run they would skip entries. */
const cursorsIn = (runId: string) => cursorsOf(`timeline ${runId}`, z.number().int().nonnegative())

/** A run's timeline, oldest first; empty where there is no such run. @throws InvalidCursor, StoreUnavailable */
export async function listTimeline(pool: pg.Pool, runId: string, page: PageRequest): Promise<Page<TimelineEntry>> {
  const cursors = cursorsIn(runId)
  const after = page.after == null ? -1 : cursors.decode(page.after)
  const rows = await ask<TimelineRow>(
    pool,
    `SELECT revision, type, occurred_at, actor_kind, actor_id, summary FROM run_timeline
     WHERE run_id = $1 AND revision > $2 ORDER BY revision LIMIT $3`,
    [runId, after, page.first + 1],
  )
  return pageOf(rows.map(entryOf), page.first, (entry) => cursors.encode(entry.revision))
}

const entryOf = (row: TimelineRow): TimelineEntry => ({
  // A bigint comes as text.
  revision: Number(row.revision),
  type: row.type,
  at: row.occurred_at.toISOString(),
  actor: { kind: row.actor_kind, id: row.actor_id },
  summary: row.summary,
})
