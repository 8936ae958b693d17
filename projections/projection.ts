import type pg from 'pg'
import type { RecordedEvent } from '../src/domain/event.ts'
import type { EventBatch } from '../src/event-store/event-store.ts'

/**
 * A read model: its tables and the fold that fills them.
 *
 * Rows derive from event data and writer metadata alone: no now(), no serial, no position, no recordedAt. So the same
 * events give the same rows, however they were cut into batches and however often the tables are built again.
 */
export type Projection = {
  name: string
  /** Raised with every change to the tables or the fold; the tables are then built again at the next start. */
  version: number
  tables: string[]
  /** CREATE TABLE, CREATE INDEX: names without a schema, because a rebuild makes them in a schema of its own. */
  ddl: string
  /** The streams whose events it gets. */
  streamPrefixes: string[]
  /**
   * Applies events in order of their position, each exactly once, inside the caller's transaction.
   * Keeps nothing in memory from one call to the next.
   * @throws Error for an event that it cannot take: the projection stops before it.
   */
  fold(events: readonly RecordedEvent[], client: pg.ClientBase): Promise<void>
}

/** Of a batch that was read for several projections, the events that this one gets. */
export function ownPart({ streamPrefixes }: Projection, { events, position }: EventBatch): EventBatch {
  const isOwn = ({ stream }: RecordedEvent) => streamPrefixes.some((prefix) => stream.startsWith(prefix))
  return { events: events.filter(isOwn), position }
}

/** The streams whose events at least one of them gets. */
export const prefixesOf = (projections: readonly Projection[]): string[] => [
  ...new Set(projections.flatMap(({ streamPrefixes }) => streamPrefixes)),
]
