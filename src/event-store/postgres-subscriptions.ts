import { type DatabaseConnection, isUnavailable } from '../postgres/connection.ts'
import { backoffMs, pause } from '../postgres/retry.ts'
import type { EventBatch, SubscribeOptions } from './event-store.ts'
import { listen } from './postgres-listener.ts'
import type { Reader } from './postgres-reader.ts'
import { createTail, type Page, type Tail } from './tail.ts'
import { unlessAborted } from './unless-aborted.ts'

export type Subscriptions = ReturnType<typeof createSubscriptions>

/** Events that the live reader takes in one query. */
const livePageSize = 1_000

/**
 * All subscriptions of a process. Each one catches up by itself; once there, all live from one reader, so a thousand
 * subscribers cost the database as much as one. Without subscribers there is no reader and no connection.
 *
 * @param pollMs how often at least the store is asked for news; it is the truth, everything else only a nudge.
 */
export function createSubscriptions(connection: DatabaseConnection, reader: Reader, pollMs: number) {
  const closing = new AbortController()
  let live: Live | undefined
  let subscribers = 0
  let stopped: Promise<unknown> = Promise.resolve()

  function join(): Live {
    live ??= startLive(connection, reader, pollMs)
    subscribers += 1
    return live
  }

  function leave(): void {
    subscribers -= 1
    if (subscribers > 0 || live === undefined) return
    stopped = Promise.all([stopped, live.stop()])
    live = undefined
  }

  async function* subscribe(options: SubscribeOptions): AsyncGenerator<EventBatch> {
    const { filter, batchSize = 500 } = options
    const signal = AbortSignal.any([options.signal, closing.signal])
    if (signal.aborted) return
    const live = join()
    try {
      let position = options.after
      if (position === 'end') {
        const head = await persistently(() => reader.head(), signal)
        if (head === undefined) return
        position = head
        // Says where "from now on" begins, and that it has.
        yield { events: [], position }
      }
      while (!signal.aborted) {
        const after: number = position
        const batch: EventBatch | undefined =
          live.batchAfter(after, batchSize, filter) ??
          (await persistently(() => reader.page(after, batchSize, filter), signal))
        if (batch === undefined) return
        if (batch.position === position) {
          await live.grown(position, signal)
          continue
        }
        position = batch.position
        yield { events: batch.events, position }
      }
    } finally {
      leave()
    }
  }

  return {
    subscribe,
    nudge: () => live?.nudge(),
    async close() {
      closing.abort()
      if (live !== undefined) await live.stop()
      await stopped
    },
  }
}

type Live = ReturnType<typeof startLive>

function startLive(connection: DatabaseConnection, reader: Reader, pollMs: number) {
  const stopping = new AbortController()
  const waiting = new Set<() => void>()
  let tail: Tail | undefined
  let failure: { error: unknown } | undefined
  let nudged = false
  let wakeReader = () => {}

  function nudge(): void {
    nudged = true
    wakeReader()
  }

  function wakeSubscribers(): void {
    for (const wake of [...waiting]) wake()
  }

  /** Reads what is new, for as long as there are subscribers. */
  async function follow(): Promise<void> {
    let failures = 0
    while (!stopping.signal.aborted) {
      nudged = false
      try {
        const more = await readNews()
        failures = 0
        if (!more && !nudged) await pauseOrNudge()
      } catch (error) {
        if (!isUnavailable(error)) {
          failure = { error }
          return wakeSubscribers()
        }
        failures += 1
        await pause(backoffMs(failures), stopping.signal)
      }
    }
  }

  async function readNews(): Promise<boolean> {
    if (tail === undefined) {
      tail = createTail(await reader.head())
      wakeSubscribers()
    }
    const { end } = tail
    const page: Page = await reader.page(end, livePageSize)
    if (page.position === end) return false
    tail.add(page)
    wakeSubscribers()
    // By position, not by number of events: retention may have removed some of them.
    return page.position >= end + livePageSize
  }

  async function pauseOrNudge(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    // Between half and all of it, so that processes do not ask in step.
    const timer = setTimeout(resolve, pollMs * (0.5 + Math.random() / 2))
    wakeReader = resolve
    await promise
    clearTimeout(timer)
  }

  /** Resolves when there may be something after `position`, or on abort. @throws what ended the reader. */
  async function grown(position: number, signal: AbortSignal): Promise<void> {
    if (failure === undefined && (tail === undefined || tail.end <= position)) {
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

  const done = Promise.all([follow(), listen(connection, nudge, stopping.signal)])

  return {
    nudge,
    grown,
    batchAfter: (...how: Parameters<Tail['batchAfter']>) => tail?.batchAfter(...how),
    stop() {
      stopping.abort()
      nudge()
      return done
    },
  }
}

/** Tries until the store answers. undefined: aborted, at once, whatever the store does. */
async function persistently<Result>(work: () => Promise<Result>, signal: AbortSignal): Promise<Result | undefined> {
  for (let failures = 1; !signal.aborted; failures += 1) {
    try {
      return await unlessAborted(work(), signal)
    } catch (error) {
      if (!isUnavailable(error)) throw error
      await pause(backoffMs(failures), signal)
    }
  }
  return undefined
}
