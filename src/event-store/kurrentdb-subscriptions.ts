import { backoffMs, pause } from '../postgres/retry.ts'
import { type EventBatch, StoreUnavailable, type SubscribeOptions } from './event-store.ts'
import { failureOf, type KurrentConnection } from './kurrentdb-connection.ts'
import { type FeedBatch, openFeed } from './kurrentdb-feed.ts'
import type { KurrentReader } from './kurrentdb-reader.ts'
import { createTail, type Tail } from './tail.ts'
import { unlessAborted } from './unless-aborted.ts'

/**
 * All subscriptions of a process. Each one catches up by a subscription of its own at the server, with its filter;
 * once there, all live from one for everything, so a thousand subscribers cost the server as much as one. Without
 * subscribers there is none.
 */
export function createKurrentSubscriptions(connection: KurrentConnection, reader: KurrentReader) {
  const closing = new AbortController()
  let following: Following | undefined
  let subscribers = 0
  let stopped: Promise<unknown> = Promise.resolve()

  function join(): Following {
    following ??= follow(connection, reader)
    subscribers += 1
    return following
  }

  function leave(): void {
    subscribers -= 1
    if (subscribers > 0 || following === undefined) return
    stopped = Promise.all([stopped, following.stop()])
    following = undefined
  }

  async function* subscribe({
    after,
    filter,
    batchSize = 500,
    signal: wanted,
  }: SubscribeOptions): AsyncGenerator<EventBatch> {
    const signal = AbortSignal.any([wanted, closing.signal])
    if (signal.aborted) return
    const shared = join()
    try {
      let position = after
      if (position === 'end') {
        const head = await persistently(() => reader.head(), signal)
        if (head === undefined) return
        position = head
        // Says where "from now on" begins, and that it has.
        yield { events: [], position }
      }
      while (!signal.aborted) {
        const batch: EventBatch | undefined = shared.batchAfter(position, batchSize, filter)
        if (batch === undefined) {
          for await (const caught of catchUp(shared, position, filter, signal)) {
            for (const part of inParts(caught, position, batchSize)) yield part
            position = caught.position
          }
        } else if (batch.position === position) {
          await shared.grown(position, signal)
        } else {
          position = batch.position
          yield batch
        }
      }
    } finally {
      leave()
    }
  }

  /** Until the shared tail has what follows, or the signal aborts. */
  async function* catchUp(
    shared: Following,
    after: number,
    filter: SubscribeOptions['filter'],
    signal: AbortSignal,
  ): AsyncGenerator<EventBatch> {
    let position = after
    for (let failures = 0; !signal.aborted; ) {
      // Where the tail begins, known before the server says "caught up": so that covers everything up to there.
      const tailStart = await shared.start(signal)
      if (tailStart === undefined) return
      if (shared.batchAfter(position, 1) !== undefined) return
      try {
        for await (const batch of openFeed(connection.live(), position, filter, signal)) {
          failures = 0
          const reached = batch.caughtUp ? Math.max(batch.position, tailStart) : batch.position
          // Never beyond the last event there is: who keeps the position would find the store behind it.
          position = Math.max(position, batch.lastEvent, Math.min(reached, shared.end()))
          yield { events: batch.events, position }
          if (shared.batchAfter(position, 1) !== undefined) return
        }
      } catch (error) {
        failures += 1
        await retryLater(error, failures, signal)
      }
    }
  }

  return {
    subscribe,
    async close() {
      closing.abort()
      if (following !== undefined) await following.stop()
      await stopped
    },
  }
}

type Following = ReturnType<typeof follow>

/** The one subscription that all live subscribers share. */
function follow(connection: KurrentConnection, reader: KurrentReader) {
  const stopping = new AbortController()
  const waiting = new Set<() => void>()
  let tail: Tail | undefined
  let failure: { error: unknown } | undefined

  function wakeSubscribers(): void {
    for (const wake of [...waiting]) wake()
  }

  async function read(): Promise<void> {
    try {
      const start = await persistently(() => reader.head(), stopping.signal)
      if (start === undefined) return
      tail = createTail(start)
      wakeSubscribers()
      let position = start
      for (let failures = 0; !stopping.signal.aborted; ) {
        try {
          for await (const batch of openFeed(connection.live(), position, undefined, stopping.signal)) {
            failures = 0
            position = batch.position
            if (batch.lastEvent > 0) add(tail, batch)
          }
        } catch (error) {
          failures += 1
          await retryLater(error, failures, stopping.signal)
        }
      }
    } catch (error) {
      failure = { error }
      wakeSubscribers()
    }
  }

  function add(tail: Tail, { events, lastEvent }: FeedBatch): void {
    const bytes = events.reduce((sum, event) => sum + JSON.stringify(event.data).length, 0)
    tail.add({ events, position: lastEvent, bytes })
    wakeSubscribers()
  }

  /** Resolves when the condition holds, on abort, or with what ended the reader. */
  async function until(condition: () => boolean, signal: AbortSignal): Promise<void> {
    while (failure === undefined && !condition() && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const wake = () => resolve()
      waiting.add(wake)
      signal.addEventListener('abort', wake)
      await promise
      waiting.delete(wake)
      signal.removeEventListener('abort', wake)
    }
    if (failure !== undefined) throw failure.error
  }

  const done = read()

  return {
    batchAfter: (...how: Parameters<Tail['batchAfter']>) => tail?.batchAfter(...how),
    /** The last event that the tail knows of. */
    end: () => tail?.end ?? 0,
    /** Resolves when there is something after `position`, or on abort. @throws what ended the reader. */
    grown: (position: number, signal: AbortSignal) => until(() => tail !== undefined && tail.end > position, signal),
    /** The position from which on the tail has everything. undefined: aborted. */
    async start(signal: AbortSignal): Promise<number | undefined> {
      await until(() => tail !== undefined, signal)
      return signal.aborted ? undefined : tail?.start
    },
    stop() {
      stopping.abort()
      return done
    },
  }
}

/** Events that came at once, in batches of the size that was asked for; the last one carries the position. */
function* inParts({ events, position }: EventBatch, before: number, batchSize: number): Generator<EventBatch> {
  let from = 0
  for (; events.length - from > batchSize; from += batchSize) {
    const part = events.slice(from, from + batchSize)
    yield { events: part, position: part.at(-1)?.position ?? before }
  }
  if (position > before || from < events.length) yield { events: from === 0 ? events : events.slice(from), position }
}

/** Waits before the next try. @throws what no retry mends. */
async function retryLater(error: unknown, failures: number, signal: AbortSignal): Promise<void> {
  const failure = failureOf(error)
  if (!(failure instanceof StoreUnavailable)) throw failure
  await pause(backoffMs(failures), signal)
}

/** Tries until the store answers. undefined: aborted, at once, whatever the store does. */
async function persistently<Result>(work: () => Promise<Result>, signal: AbortSignal): Promise<Result | undefined> {
  for (let failures = 1; !signal.aborted; failures += 1) {
    try {
      return await unlessAborted(work(), signal)
    } catch (error) {
      await retryLater(error, failures, signal)
    }
  }
  return undefined
}
