import type pg from 'pg'
import type { RecordedEvent } from '../src/domain/event.ts'
import type { EventBatch, EventStore } from '../src/event-store/event-store.ts'
import { migrate } from '../src/postgres/migrate.ts'
import { backoffMs, pause } from '../src/postgres/retry.ts'
import {
  advance,
  type Checkpoint,
  findSkip,
  type ProjectionFailure,
  readCheckpoint,
  recordFailure,
} from './checkpoint.ts'
import { applyBatch, FoldFailed, fold } from './fold.ts'
import type { Positions } from './positions.ts'
import type { Projection } from './projection.ts'
import { rebuildProjections } from './rebuild.ts'
import { acquireLock, inTransaction, isPassing, openSession, type Session } from './session.ts'
import { createTables, dropLeftovers } from './tables.ts'
import { writeLater } from './write-later.ts'

/**
 * `running`: follows the store. `standby`: another process runs it. `rebuilding`: its tables are being built anew.
 * `failed`: an event, or a setting, that it cannot get past. `waiting-for-store`: the store or the database is away.
 */
export type RunnerState = 'running' | 'standby' | 'rebuilding' | 'failed' | 'waiting-for-store'

export type Logger = {
  info(details: object, message: string): void
  error(details: object, message: string): void
}

export type RunnerContext = { store: EventStore; pool: pg.Pool; positions: Positions; log: Logger }

export type Runner = ReturnType<typeof createRunner>

/** How often a stopped projection looks whether somebody has rebuilt it, or lets it pass over the event. */
const stoppedPollMs = 2_000

/** Keeps one projection up to date, for as long as this process holds its lock. */
export function createRunner(projection: Projection, { store, pool, positions, log }: RunnerContext) {
  const { name } = projection
  let state: RunnerState = 'standby'
  let problem: string | undefined
  let waking = new AbortController()

  async function run(signal: AbortSignal): Promise<void> {
    let failures = 0
    while (!signal.aborted) {
      let session: Session | undefined
      try {
        await migrate(pool)
        session = await openSession(pool, `runwarden projection ${name}`)
        await lead(session, signal, () => {
          failures = 0
        })
      } catch (error) {
        if (signal.aborted) return
        failures += 1
        interrupted(error, session, failures)
      } finally {
        await session?.close()
      }
      // Not while the session holds its lock: a process that can go on, such as a newer one, gets it meanwhile.
      if (failures > 0) await pause(backoffMs(failures), signal)
    }
  }

  function interrupted(error: unknown, session: Session | undefined, failures: number): void {
    const passing = isPassing(error) || session?.lost.aborted === true
    state = passing ? 'waiting-for-store' : 'failed'
    problem = error instanceof Error ? error.message : String(error)
    // Once per outage, not once per try.
    if (failures === 1) log.error({ projection: name, err: error }, passing ? 'projection waits' : 'projection failed')
  }

  /** From the lock to the end of the session. */
  async function lead(session: Session, signal: AbortSignal, succeeded: () => void): Promise<void> {
    state = 'standby'
    problem = undefined
    await upgrade(session, signal)
    if (!(await acquireLock(session, 'run', name, signal))) return
    problem = undefined
    await dropLeftovers(session, projection)
    while (!signal.aborted) {
      try {
        const checkpoint = await prepare(session, signal)
        state = 'running'
        succeeded()
        await follow(session, checkpoint, signal)
      } catch (error) {
        if (!(error instanceof FoldFailed) || signal.aborted) throw error
        await stopped(session, error, signal)
      }
    }
  }

  /**
   * Code that is newer than the tables builds its own beside them, and does not wait until whoever runs the older
   * projection has ended: that one stops when it meets the newer tables.
   */
  async function upgrade(session: Session, signal: AbortSignal): Promise<void> {
    const reasonToUpgrade = async () => {
      const { version = 0 } = (await readCheckpoint(session.client, name)) ?? {}
      return version > 0 && version < projection.version ? `version ${version} → ${projection.version}` : undefined
    }
    try {
      await rebuildFor(reasonToUpgrade, signal)
    } catch (error) {
      // Whoever comes to run it meets the event again, and records it.
      if (!(error instanceof FoldFailed)) throw error
      problem = error.message
      log.error({ projection: name, ...error.failure, err: error.cause }, 'projection cannot be built anew')
    }
    state = 'standby'
  }

  /** While there is a reason to. */
  async function rebuildFor(reasonToRebuild: () => Promise<string | undefined>, signal: AbortSignal): Promise<void> {
    const reason = await reasonToRebuild()
    if (reason === undefined) return
    state = 'rebuilding'
    log.info({ projection: name, reason }, 'projection is built anew')
    const isDue = async () => (await reasonToRebuild()) !== undefined
    const [result] = await rebuildProjections([projection], { store, pool }, signal, isDue)
    if (result?.status === 'rejected') throw result.reason
    if (result?.value === undefined) return
    log.info({ projection: name, reason, ...result.value }, 'projection was built anew')
    positions.restarted(name, result.value.position)
  }

  /** Tables that are missing, or made by other code or from another store, are made anew before anything else. */
  async function prepare(session: Session, signal: AbortSignal): Promise<Checkpoint> {
    for (;;) {
      const checkpoint = await readCheckpoint(session.client, name)
      if (checkpoint === undefined || (await isMissing(session, checkpoint))) {
        await createTables(session, projection, store)
        positions.restarted(name, 0)
        continue
      }
      if ((await reasonToRebuild(checkpoint)) === undefined) return checkpoint
      await rebuildFor(async () => {
        const now = await readCheckpoint(session.client, name)
        return now && reasonToRebuild(now)
      }, signal)
    }
  }

  async function isMissing(session: Session, checkpoint: Checkpoint): Promise<boolean> {
    if (checkpoint.version === 0) return true
    const tables = projection.tables.map((table) => `public.${table}`)
    const { rows } = await session.client.query(
      'SELECT bool_or(to_regclass(name) IS NULL) AS missing FROM unnest($1::text[]) AS wanted (name)',
      [tables],
    )
    return rows[0].missing
  }

  async function reasonToRebuild({ version, storeId, position }: Checkpoint): Promise<string | undefined> {
    if (version > projection.version) {
      throw new Error(
        `its tables are of version ${version}, made by a newer Runwarden; this one knows version ` +
          `${projection.version}. To go back, run "runwarden projections rebuild".`,
      )
    }
    if (version < projection.version) return `version ${version} → ${projection.version}`
    if (storeId !== (await store.storeId())) return 'it was built from another event store'
    if (position > (await store.head())) return 'the event store was set back'
    return undefined
  }

  /** Returns when the checkpoint turns out to be elsewhere, or on abort. */
  async function follow(session: Session, checkpoint: Checkpoint, signal: AbortSignal): Promise<void> {
    const elsewhere = new AbortController()
    const any = AbortSignal.any([signal, session.lost, elsewhere.signal])
    const filter = { streamPrefixes: projection.streamPrefixes }
    let { position } = checkpoint
    positions.reached(name, position)
    // What is not for this projection moves nothing but its position: that is written when there is time.
    const idle = writeLater(async (seen) => {
      if (await apply(session, [], position, seen)) position = seen
      else elsewhere.abort()
    }, elsewhere)
    const leave = positions.led(name)
    try {
      for await (const batch of store.subscribe({ after: position, filter, signal: any, batchSize: 2_000 })) {
        if (batch.events.length === 0) {
          positions.reached(name, batch.position)
          idle.write(batch.position)
          continue
        }
        await idle.cancel()
        if (any.aborted || !(await take(session, batch, position))) break
        position = batch.position
      }
    } finally {
      leave()
      await idle.cancel()
    }
    if (idle.failure() !== undefined) throw idle.failure()
    if (session.lost.aborted && !signal.aborted) throw session.lost.reason
  }

  async function take(session: Session, batch: EventBatch, from: number): Promise<boolean> {
    return applyBatch(batch, from, (...step) => apply(session, ...step), mayPassOver)

    async function mayPassOver(failure: ProjectionFailure): Promise<boolean> {
      const skip = await findSkip(session.client, name, failure, await store.storeId())
      if (skip !== undefined) log.info({ projection: name, ...skip }, 'projection passes over an event, as was decided')
      return skip !== undefined
    }
  }

  /** Rows and checkpoint, together or not at all. */
  async function apply(session: Session, events: readonly RecordedEvent[], from: number, to: number) {
    if (to === from) return true
    const outcome =
      events.length === 0
        ? await advance(session.client, projection, from, to)
        : await inTransaction(session.client, async () => {
            const outcome = await advance(session.client, projection, from, to)
            if (outcome === 'advanced') await fold(projection, events, session.client)
            return outcome
          })
    if (outcome !== 'advanced') return false
    positions.reached(name, to)
    return true
  }

  /** Shows what stopped it, and waits for a rebuild or a skip, here or in another process. */
  async function stopped(session: Session, error: FoldFailed, signal: AbortSignal): Promise<void> {
    const { failure } = error
    await recordFailure(session.client, name, failure)
    positions.failed(name, failure)
    log.error({ projection: name, ...failure, err: error.cause }, 'projection stopped at an event that it cannot take')
    // The checkpoint now says so, to every process; and says so until somebody, anywhere, has mended it.
    state = 'running'
    for (;;) {
      waking = new AbortController()
      await pause(stoppedPollMs, AbortSignal.any([signal, session.lost, waking.signal]))
      if (signal.aborted) return
      session.lost.throwIfAborted()
      const checkpoint = await readCheckpoint(session.client, name)
      if (checkpoint?.failure?.position !== failure.position) return
    }
  }

  return {
    projection,
    run,
    /** Somebody has rebuilt the tables, or lets it pass over an event: look at once. */
    wake: () => waking.abort(),
    status: () => ({ state, problem }),
  }
}
