import type pg from 'pg'
import type { RecordedEvent } from '../src/domain/event.ts'
import type { Projection } from './projection.ts'

/** Where every commit of a projection is announced; the payload is `name:position`. */
export const projectionsChannel = 'projections'

/** The event that a projection could not take. Everything before it is in the tables. */
export type ProjectionFailure = { position: number; type: string; stream: string; error: string }

/** How far a projection has come, what its rows were made by and from, and what stopped it. */
export type Checkpoint = {
  position: number
  /** Of the code that made the rows; 0: there are no rows yet. */
  version: number
  storeId: string | null
  failure: ProjectionFailure | null
}

/**
 * `moved`: somebody else (a rebuild) has changed the checkpoint since it was read: read it again.
 * `gone`: there is none.
 */
export type Advance = 'advanced' | 'moved' | 'gone'

type Queryable = Pick<pg.ClientBase, 'query'>

/** Every checkpoint, by the projection's name. */
export async function readCheckpoints(client: Queryable): Promise<Map<string, Checkpoint>> {
  const { rows } = await client.query('SELECT name, position, version, store_id, failure FROM event_store.checkpoints')
  return new Map(rows.map((row) => [row.name, checkpointOf(row)]))
}

export async function readCheckpoint(client: Queryable, name: string): Promise<Checkpoint | undefined> {
  const { rows } = await client.query(
    'SELECT position, version, store_id, failure FROM event_store.checkpoints WHERE name = $1',
    [name],
  )
  return rows[0] && checkpointOf(rows[0])
}

const checkpointOf = (row: Record<string, unknown>): Checkpoint => ({
  // A bigint comes as text.
  position: Number(row.position),
  version: row.version as number,
  storeId: row.store_id as string | null,
  failure: row.failure as ProjectionFailure | null,
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
  const { rows } = await client.query(
    'SELECT position, version, store_id, failure FROM event_store.checkpoints WHERE name = $1 FOR UPDATE',
    [name],
  )
  return checkpointOf(rows[0])
}

/** The end of a rebuild: the tables are now those of `projection`, made from the events of `storeId` up to `position`. */
export async function replaceCheckpoint(
  client: Queryable,
  projection: Projection,
  position: number,
  storeId: string,
): Promise<void> {
  await client.query(
    `UPDATE event_store.checkpoints
     SET position = $2, version = $3, store_id = $4, failure = NULL, updated_at = now() WHERE name = $1`,
    [projection.name, position, projection.version, storeId],
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

export function failureOf(event: RecordedEvent, cause: unknown): ProjectionFailure {
  const error = cause instanceof Error ? cause.message : String(cause)
  return { position: event.position, type: event.type, stream: event.stream, error: error.slice(0, 2000) }
}
