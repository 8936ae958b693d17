import type pg from 'pg'
import type { Actor, RecordedEvent } from '../src/domain/event.ts'
import type { Projection } from './projection.ts'

/** Where every commit of a projection is announced; the payload is `name:position`. */
export const projectionsChannel = 'projections'

/** The event that a projection could not take. Everything before it is in the tables. */
export type ProjectionFailure = { position: number; type: string; stream: string; error: string }

/** For people: which event it was, and why. */
export const failureText = ({ position, type, stream, error }: ProjectionFailure) =>
  `event ${position} (${type} of ${stream}): ${error}`

/**
 * Somebody's decision that a projection may pass over an event that it cannot take. Whoever meets the event again, such
 * as a rebuild, tries it first: code that was mended takes it after all.
 */
export type Skip = ProjectionFailure & {
  skippedBy: Actor
  /** ISO 8601. */
  skippedAt: string
  reason: string | null
}

/** How far a projection has come, what its rows were made by and from, and what stopped it. */
export type Checkpoint = {
  position: number
  /** Of the code that made the rows; 0: there are no rows yet. */
  version: number
  storeId: string | null
  failure: ProjectionFailure | null
  /** In order of the decisions. */
  skips: Skip[]
}

/** More of them, and the tables say so little of the events that only mended code helps. */
export const skipsMax = 1_000

/**
 * `moved`: somebody else (a rebuild) has changed the checkpoint since it was read: read it again.
 * `gone`: there is none.
 */
export type Advance = 'advanced' | 'moved' | 'gone'

type Queryable = Pick<pg.ClientBase, 'query'>

/** Every checkpoint, by the projection's name. */
export async function readCheckpoints(client: Queryable): Promise<Map<string, Checkpoint>> {
  const { rows } = await client.query(`SELECT name, ${columns} FROM event_store.checkpoints`)
  return new Map(rows.map((row) => [row.name, checkpointOf(row)]))
}

export async function readCheckpoint(client: Queryable, name: string): Promise<Checkpoint | undefined> {
  const { rows } = await client.query(`SELECT ${columns} FROM event_store.checkpoints WHERE name = $1`, [name])
  return rows[0] && checkpointOf(rows[0])
}

const columns = 'position, version, store_id, failure, skips'

const checkpointOf = (row: Record<string, unknown>): Checkpoint => ({
  // A bigint comes as text.
  position: Number(row.position),
  version: row.version as number,
  storeId: row.store_id as string | null,
  failure: row.failure as ProjectionFailure | null,
  skips: row.skips as Skip[],
})

/**
 * Compare and set, and the announcement. The first statement of a fold's transaction: the lock on the row keeps a
 * rebuild from switching the tables under the fold, and makes the rows and the checkpoint change together.
 */
export async function advance(client: Queryable, projection: Projection, from: number, to: number): Promise<Advance> {
  const { rowCount } = await client.query({
    name: 'advance_checkpoint',
    text: `WITH moved AS (
        UPDATE event_store.checkpoints SET position = $4, failure = NULL, updated_at = now()
        WHERE name = $1 AND version = $2 AND position = $3
        RETURNING name, position
      )
      SELECT pg_notify('${projectionsChannel}', name || ':' || position) FROM moved`,
    values: [projection.name, projection.version, from, to],
  })
  if (rowCount === 1) return 'advanced'
  return (await readCheckpoint(client, projection.name)) === undefined ? 'gone' : 'moved'
}

/** Makes the row where there is none, and locks it until the transaction ends. */
export async function lockCheckpoint(client: Queryable, name: string): Promise<Checkpoint> {
  await client.query(
    'INSERT INTO event_store.checkpoints (name, position) VALUES ($1, 0) ON CONFLICT (name) DO NOTHING',
    [name],
  )
  const { rows } = await client.query(`SELECT ${columns} FROM event_store.checkpoints WHERE name = $1 FOR UPDATE`, [
    name,
  ])
  return checkpointOf(rows[0])
}

/**
 * The end of a rebuild: the tables are now those of `projection`, made from the events of `storeId` up to `position`.
 * @param skips those that are still of use.
 */
export async function replaceCheckpoint(
  client: Queryable,
  projection: Projection,
  { position, storeId, skips }: { position: number; storeId: string; skips: Skip[] },
): Promise<void> {
  await client.query(
    `UPDATE event_store.checkpoints
     SET position = $2, version = $3, store_id = $4, skips = $5, failure = NULL, updated_at = now() WHERE name = $1`,
    [projection.name, position, projection.version, storeId, JSON.stringify(skips)],
  )
  await client.query('SELECT pg_notify($1, $2)', [projectionsChannel, `${projection.name}:${position}`])
}

/** Keeps what stopped a projection where every process, and an operator with SQL, can see it. */
export async function recordFailure(client: Queryable, name: string, failure: ProjectionFailure): Promise<void> {
  await client.query(
    `INSERT INTO event_store.checkpoints (name, position, failure) VALUES ($1, 0, $2)
     ON CONFLICT (name) DO UPDATE SET failure = excluded.failure, updated_at = now()`,
    [name, JSON.stringify(failure)],
  )
}

/**
 * Lets the projection pass over the event that stopped it, and tells whoever runs it.
 * @returns undefined: it has not stopped at an event of this position (any more), or has passed over too many.
 */
export async function recordSkip(
  client: Queryable,
  name: string,
  position: number,
  decision: Pick<Skip, 'skippedBy' | 'skippedAt' | 'reason'>,
): Promise<Skip | undefined> {
  const { rows } = await client.query<{ skip: Skip }>(
    `WITH skipped AS (
       UPDATE event_store.checkpoints SET skips = skips || (failure || $3::jsonb), failure = NULL, updated_at = now()
       WHERE name = $1 AND (failure->>'position')::bigint = $2 AND jsonb_array_length(skips) < ${skipsMax}
       RETURNING name, position, skips->-1 AS skip
     )
     SELECT skip, pg_notify('${projectionsChannel}', name || ':' || position) FROM skipped`,
    [name, position, JSON.stringify(decision)],
  )
  return rows[0]?.skip
}

/** The decision, if there is one, that this event may be passed over. Positions mean nothing in another store. */
export async function findSkip(
  client: Queryable,
  name: string,
  { position, type, stream }: ProjectionFailure,
  storeId: string,
): Promise<Skip | undefined> {
  const checkpoint = await readCheckpoint(client, name)
  if (checkpoint?.storeId !== storeId) return undefined
  return checkpoint.skips.find((skip) => skip.position === position && skip.type === type && skip.stream === stream)
}

/** As PostgreSQL can keep it: its text knows no NUL and no half characters. */
export function failureOf(event: RecordedEvent, cause: unknown): ProjectionFailure {
  const error = cause instanceof Error ? cause.message : String(cause)
  return {
    position: event.position,
    type: event.type,
    stream: event.stream,
    error: error.slice(0, 2000).toWellFormed().replaceAll('\0', '\ufffd'),
  }
}
