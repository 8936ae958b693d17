import type pg from 'pg'
import type { EventBatch, EventStore } from '../src/event-store/event-store.ts'
import { type Builder, createBuilder } from './builder.ts'
import { type Projection, prefixesOf } from './projection.ts'
import { readAhead } from './read-ahead.ts'
import { acquireLock, openSession, type Session } from './session.ts'

export type RebuildResult = {
  name: string
  /** How many events were folded. */
  events: number
  durationMs: number
  /** Events that it could not take, and passed over because somebody had decided so. */
  passedOver: number
}

/** Of one projection. `undefined`: it was not due any more. */
export type Rebuilt = (RebuildResult & { position: number }) | undefined

/**
 * Per transaction of a rebuild. Larger batches meet the same run more often, and write it once: of 200 runs at a time,
 * PostgreSQL's CPU per event is 20 µs with 2,000, 14 with 5,000 and 12 with 10,000, which take twice the memory.
 */
const batchSize = 5_000
/**
 * The rest is done in the switching transactions, while the live tables wait: no more than so many positions, or after a
 * batch of no more than so many events, for there are stores whose positions are far apart.
 */
const remainderMax = 500
/** Batches that are folded while the next one is read: the quicker projections need not wait for the slowest. */
const batchesAtOnce = 2

/**
 * Builds the projections' tables from the first event on, in schemas of their own, while the live tables are read and
 * written as before; then puts each in the place of the live ones, in one short transaction. The events are read once
 * for all of them. Interrupted, it leaves nothing but those schemas, which whoever runs the projections next removes.
 * @param isDue asked of each when nobody else rebuilds it any more: perhaps that was enough.
 * @returns of each, in order: what was built, or why not; one that fails stops no other. FoldFailed for an event that it
 *   cannot take; the live tables stay. The signal's reason on abort.
 */
export async function rebuildProjections(
  projections: readonly Projection[],
  { store, pool }: { store: EventStore; pool: pg.Pool },
  signal: AbortSignal,
  isDue: (projection: Projection) => Promise<boolean>,
): Promise<PromiseSettledResult<Rebuilt>[]> {
  const startedAt = performance.now()
  const sessions: Session[] = []
  try {
    const begun = await Promise.allSettled(projections.map(begin))
    const builders = begun.flatMap((result) => (result.status === 'fulfilled' && result.value) || [])
    const failures = await buildTogether(builders, store, signal)
    const finished = await Promise.allSettled(builders.map((builder) => finish(builder, failures.get(builder))))
    return begun.map((result) => {
      if (result.status === 'rejected' || result.value === undefined) return result as PromiseSettledResult<undefined>
      return finished[builders.indexOf(result.value)] as PromiseSettledResult<Rebuilt>
    })
  } finally {
    await Promise.all(sessions.map((session) => session.close()))
  }

  async function begin(projection: Projection): Promise<Builder | undefined> {
    const session = await openSession(pool, `runwarden rebuild ${projection.name}`)
    sessions.push(session)
    if (!(await acquireLock(session, 'rebuild', projection.name, signal))) throw signal.reason
    if (!(await isDue(projection))) return undefined
    const builder = createBuilder(session, projection, store)
    await builder.begin()
    return builder
  }

  async function finish(builder: Builder, failure: { error: unknown } | undefined): Promise<Rebuilt> {
    if (failure !== undefined) throw failure.error
    const { events, position, skips } = await builder.switchOver(signal)
    const durationMs = Math.round(performance.now() - startedAt)
    return { name: builder.projection.name, events, durationMs, passedOver: skips.length, position }
  }
}

/**
 * Folds until so little is left that the switches can do it.
 * @returns what stopped those that did not get there.
 */
async function buildTogether(
  builders: readonly Builder[],
  store: EventStore,
  signal: AbortSignal,
): Promise<Map<Builder, { error: unknown }>> {
  const failures = new Map<Builder, { error: unknown }>()
  const failAll = (error: unknown) => {
    for (const builder of builders) if (!failures.has(builder)) failures.set(builder, { error })
  }
  /** Of each builder, the end of what it has been given. */
  const tails = new Map(builders.map((builder) => [builder, Promise.resolve()]))
  const give = (builder: Builder, batch: EventBatch) => async () => {
    if (failures.has(builder)) return
    await builder.take(batch).catch((error: unknown) => failures.set(builder, { error }))
  }
  const underWay: Promise<unknown>[] = []
  try {
    let target = await store.head()
    if (target <= remainderMax || builders.length === 0) return failures
    const filter = { streamPrefixes: prefixesOf(builders.map(({ projection }) => projection)) }
    for await (const batch of readAhead(store, { after: 0, filter, signal, batchSize })) {
      for (const [builder, tail] of tails) tails.set(builder, tail.then(give(builder, batch)))
      underWay.push(Promise.all(tails.values()))
      if (underWay.length >= batchesAtOnce) await underWay.shift()
      if (failures.size === builders.length) return failures
      if (batch.position < target) continue
      target = await store.head()
      if (target - batch.position <= remainderMax || batch.events.length <= remainderMax) return failures
    }
    signal.throwIfAborted()
    failAll(new Error('the event store ended the subscription'))
  } catch (error) {
    failAll(error)
  } finally {
    await Promise.all(tails.values())
  }
  return failures
}
