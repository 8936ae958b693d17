import type { RecordedEvent } from '../src/domain/event.ts'
import type { EventBatch, EventStore } from '../src/event-store/event-store.ts'
import { backoffMs, pause } from '../src/postgres/retry.ts'
import { findSkip, lockCheckpoint, type ProjectionFailure, replaceCheckpoint, type Skip } from './checkpoint.ts'
import { applyBatch, fold } from './fold.ts'
import { ownPart, type Projection } from './projection.ts'
import { inSavepoint, inTransaction, isPassing, type Session } from './session.ts'
import { makeEmptyTables, replaceTables, schemaOf } from './tables.ts'

/** How often the switch is tried, with growing pauses: some two minutes in all. */
const switchTries = 30
/** The live tables stand still meanwhile: a store that goes away now must not make them stand still for as long. */
const remainderTimeoutMs = 10_000

/** What the tables hold, and which events they could not take. */
export type Built = { events: number; position: number; skips: Skip[] }

/** Fills a projection's tables beside the live ones, and then puts them in their place. */
export type Builder = ReturnType<typeof createBuilder>

export function createBuilder(session: Session, projection: Projection, store: EventStore) {
  const { client } = session
  const built: Built = { events: 0, position: 0, skips: [] }

  /** @throws FoldFailed for an event that it cannot take, and of which nobody has said that it may be passed over. */
  const take = (batch: EventBatch) => takeInto(built, batch, (work) => inTransaction(client, work))

  async function takeInto(
    into: Built,
    batch: EventBatch,
    apply: (work: () => Promise<void>) => Promise<void>,
  ): Promise<void> {
    const own = ownPart(projection, batch)
    const applied = async (events: readonly RecordedEvent[]) => {
      if (events.length > 0) await apply(() => foldAside(events))
      return true
    }
    const mayPassOver = async (failure: ProjectionFailure) => {
      const skip = await findSkip(client, projection.name, failure, await store.storeId())
      if (skip !== undefined) into.skips.push(skip)
      return skip !== undefined
    }
    await applyBatch(own, into.position, applied, mayPassOver)
    into.events += own.events.length
    into.position = own.position
  }

  async function foldAside(events: readonly RecordedEvent[]): Promise<void> {
    await client.query(`SET LOCAL search_path = ${schemaOf(projection)}`)
    await fold(projection, events, client)
  }

  /** The rest and the switch, in one transaction. @throws FoldFailed, the signal's reason. */
  async function switchOver(signal: AbortSignal): Promise<Built> {
    const storeId = await store.storeId()
    for (let attempt = 1; ; attempt++) {
      signal.throwIfAborted()
      try {
        return await inTransaction(client, async () => {
          const all = await takeRemainder(signal)
          await replaceTables(client, projection)
          await replaceCheckpoint(client, projection, { ...all, storeId })
          return all
        })
      } catch (error) {
        if (!isPassing(error) || session.lost.aborted || attempt === switchTries) throw error
      }
      await pause(backoffMs(attempt), signal)
    }
  }

  /** With the checkpoint locked the live tables stand still, so that nothing they have is missing in the new ones. */
  async function takeRemainder(signal: AbortSignal): Promise<Built> {
    await lockCheckpoint(client, projection.name)
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(remainderTimeoutMs)])
    const target = await store.head()
    const all: Built = { ...built, skips: [...built.skips] }
    if (target <= all.position) return all
    const filter = { streamPrefixes: projection.streamPrefixes }
    for await (const batch of store.subscribe({ after: all.position, filter, signal: bounded })) {
      await takeInto(all, batch, (work) => inSavepoint(client, work))
      if (batch.position >= target) return all
    }
    throw bounded.reason
  }

  return { projection, session, begin: () => makeEmptyTables(session, projection), take, switchOver }
}
