import type pg from 'pg'
import { z } from 'zod'
import type { Actor } from '../../domain/event.ts'
import { runIdSchema, runStream } from '../../domain/ids.ts'
import { type RecordedRunEvent, readRunEvent } from '../../domain/run-events.ts'
import { phasesOf, type RunPhase } from '../../domain/timeline.ts'
import type { EventStore } from '../../event-store/event-store.ts'
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

/**
 * A run's timeline, oldest first; empty where there is no such run.
 * @param upTo the last revision that is wanted
 * @throws InvalidCursor, StoreUnavailable
 */
export async function listTimeline(
  pool: pg.Pool,
  runId: string,
  page: PageRequest,
  upTo = Number.MAX_SAFE_INTEGER,
): Promise<Page<TimelineEntry>> {
  const cursors = cursorsIn(runId)
  const after = page.after == null ? -1 : cursors.decode(page.after)
  const rows = await ask<TimelineRow>(
    pool,
    `SELECT revision, type, occurred_at, actor_kind, actor_id, summary FROM run_timeline
     WHERE run_id = $1 AND revision > $2 AND revision <= $3 ORDER BY revision LIMIT $4`,
    [runId, after, upTo, page.first + 1],
  )
  return pageOf(rows.map(entryOf), page.first, (entry) => cursors.encode(entry.revision))
}

/** How long what took; empty where there is no such run. @param upTo see listTimeline @throws StoreUnavailable */
export async function listPhases(store: EventStore, id: string, upTo = Number.MAX_SAFE_INTEGER): Promise<RunPhase[]> {
  const runId = runIdSchema.safeParse(id)
  if (!runId.success) return []
  const events: RecordedRunEvent[] = []
  for await (const event of store.readStream(runStream(runId.data))) {
    if (event.revision > upTo) break
    const known = readRunEvent(event)
    if (known !== undefined) events.push(known)
  }
  return phasesOf(events)
}

const entryOf = (row: TimelineRow): TimelineEntry => ({
  // A bigint comes as text.
  revision: Number(row.revision),
  type: row.type,
  at: row.occurred_at.toISOString(),
  actor: { kind: row.actor_kind, id: row.actor_id },
  summary: row.summary,
})
