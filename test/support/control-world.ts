import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import type { Log } from '../../src/control/log.ts'
import type { RecordedEvent } from '../../src/domain/event.ts'
import { runStream, telemetryStream } from '../../src/domain/ids.ts'
import { createPostgresEventStore } from '../../src/event-store/postgres.ts'
import { collect } from './collect.ts'
import { newRunId, openWorld, requestedAs } from './projection-world.ts'
import { waitUntil } from './wait-until.ts'

export type ControlWorld = Awaited<ReturnType<typeof openControlWorld>>

/** What a log was told, as `level: message`. */
export function recordingLog() {
  const lines: string[] = []
  const at = (level: string) => (_fields: object, message: string) => void lines.push(`${level}: ${message}`)
  const log: Log = { info: at('info'), warn: at('warn'), error: at('error') }
  return { log, lines }
}

/** A real store, whose database can be taken away, and loops that end with the test. */
export async function openControlWorld() {
  const world = await openWorld()
  const { log, lines } = recordingLog()
  const database = world.database.connection.database
  const closings: (() => Promise<unknown>)[] = []

  async function onServer(text: string): Promise<void> {
    const client = new pg.Client({ ...world.database.connection, database: 'postgres' })
    await client.connect()
    await client.query(text).finally(() => client.end())
  }

  /** Begins a loop; ends it, and waits for its end, at the latest with the test. */
  function begin(loop: (signal: AbortSignal) => Promise<void>): () => Promise<void> {
    const controller = new AbortController()
    const done = loop(controller.signal)
    const stop = async () => {
      controller.abort()
      await done
    }
    closings.push(stop)
    return stop
  }

  const eventsOf = (stream: string): Promise<RecordedEvent[]> => collect(world.store.readStream(stream))

  return {
    ...world,
    log,
    lines,
    begin,
    /** Another process's store on the same database. */
    otherStore() {
      const store = createPostgresEventStore({ connection: world.database.connection })
      closings.push(() => store.close())
      return store
    },
    async goAway() {
      await onServer(`alter database ${database} with allow_connections false`)
      await onServer(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${database}'`)
    },
    comeBack: () => onServer(`alter database ${database} with allow_connections true`),
    async requestRun(workflow = 'BUILDER') {
      const runId = newRunId()
      await world.append(runId, requestedAs(runId, workflow))
      return runId
    },
    lifecycle: (runId: string) => eventsOf(runStream(runId)),
    telemetry: (runId: string) => eventsOf(telemetryStream(runId)),
    eventsOf,
    until: waitUntil,
    async close() {
      await Promise.all(closings.map((close) => close()))
      await world.close()
    },
  }
}

/** A moment for what must not happen. Nothing is concluded from it but that it did not happen meanwhile. */
export const aMoment = (ms = 50) => delay(ms)
