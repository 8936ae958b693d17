import { randomBytes, randomUUID } from 'node:crypto'
import type pg from 'pg'
import { allProjections } from '../../projections/all.ts'
import type { Projection } from '../../projections/projection.ts'
import { createProjector, type Projector } from '../../projections/projector.ts'
import type { AuditEventBody } from '../../src/domain/audit-events.ts'
import type { Actor, NewEvent } from '../../src/domain/event.ts'
import { auditStream, type RunId, runStream, telemetryStream } from '../../src/domain/ids.ts'
import { isTelemetry, type RunEventBody, runEventVersion } from '../../src/domain/run-events.ts'
import type { EventStore } from '../../src/event-store/event-store.ts'
import { createPostgresEventStore } from '../../src/event-store/postgres.ts'
import { openPool } from '../../src/postgres/connection.ts'
import { createTestDatabase } from './database.ts'
import { hostActor, requested, time, user } from './run-events.ts'

const silent = { info() {}, error() {} }

/** Long enough for a busy machine; whoever waits so long has failed. */
export const patience = () => AbortSignal.timeout(10_000)

export type World = Awaited<ReturnType<typeof openWorld>>

/** A database of its own, a store and a pool on it, and projectors that end with it. */
export async function openWorld() {
  const database = await createTestDatabase()
  const store = createPostgresEventStore({ connection: database.connection })
  const pool = openPool(database.connection, { purpose: 'test' })
  const projectors: Projector[] = []
  let clock = 0

  function project(projections: readonly Projection[] = allProjections, from: EventStore = store): Projector {
    const projector = createProjector({ store: from, pool, projections, log: silent })
    projectors.push(projector)
    projector.start()
    return projector
  }

  /** One event a second, by the host or a user. @returns the position of the last one. */
  async function append(runId: RunId, ...bodies: RunEventBody[]): Promise<number> {
    let position = 0
    for (const body of bodies) {
      const stream = isTelemetry(body.type) ? telemetryStream(runId) : runStream(runId)
      position = await appendTo(stream, [envelope(body, runEventVersion[body.type])])
    }
    return position
  }

  const appendAudit = (runId: RunId | undefined, ...bodies: AuditEventBody[]) =>
    appendTo(
      auditStream(runId),
      bodies.map((body) => envelope(body, 1)),
    )

  async function appendTo(stream: string, events: NewEvent[]): Promise<number> {
    const result = await store.append(stream, events, 'any')
    if (result.outcome !== 'appended') throw new Error(`not appended: ${result.outcome}`)
    return result.position
  }

  function envelope(body: { type: string; data: unknown }, v: number): NewEvent {
    clock += 1_000
    const actor: Actor = ['RunRequested', 'KillRequested', 'ActionAttempted'].includes(body.type) ? user : hostActor
    const metadata = { eventId: randomUUID(), actor, correlationId: 'test', occurredAt: time(clock) }
    return { type: body.type, v, data: body.data, metadata }
  }

  return {
    database,
    store,
    pool,
    project,
    append,
    appendAudit,
    appendTo,
    envelope,
    async close() {
      await Promise.all(projectors.map((projector) => projector.close()))
      await store.close()
      await pool.end()
      await database.drop()
    },
  }
}

export const newRunId = (): RunId => `run_${randomBytes(6).toString('hex')}`

export const requestedAs = (runId: RunId, workflow = 'BUILDER') => requested({ runId, workflow })

/** Waits until every projection holds everything that is in the store now. */
export async function caughtUp({ store }: Pick<World, 'store'>, projector: Projector): Promise<void> {
  const head = await store.head()
  await Promise.all(projector.names.map((name) => projector.waitFor(head, patience(), name)))
}

/** Every row of every table, as text in a fixed order. */
export async function dump(pool: pg.Pool): Promise<Record<string, string[]>> {
  const tables: Record<string, string[]> = {}
  for (const table of allProjections.flatMap((projection) => projection.tables)) {
    const { rows } = await pool.query(`SELECT t::text AS row FROM public.${table} t ORDER BY 1`)
    tables[table] = rows.map(({ row }) => row)
  }
  return tables
}
