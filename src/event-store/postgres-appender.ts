import type { NewEvent } from '../domain/event.ts'
import { isUnavailable } from '../postgres/connection.ts'
import { pause } from '../postgres/retry.ts'
import { encodeAppend, sizeOf } from './encode.ts'
import { type AppendResult, type ExpectedRevision, StoreUnavailable } from './event-store.ts'
import { type Append, appendBatch, type Call, type Decision, resultOf } from './postgres-append-batch.ts'

export type Appender = {
  append(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): Promise<AppendResult>
  /** Takes nothing more; resolves when what was taken is decided. */
  drain(): Promise<void>
}

type Waiting = Append & {
  bytes: number
  resolve(result: AppendResult): void
  reject(error: unknown): void
}

/** A batch is one transaction: larger ones gain nothing and make neighbours wait. */
const batchLimits = { events: 1_000, bytes: 1024 * 1024 }
/** Beyond this, callers are told at once instead of waiting for what will not come. */
const queueLimits = { appends: 20_000, bytes: 64 * 1024 * 1024 }
/** Before the second and third try of a batch whose connection broke. */
const retryPausesMs = [60, 240]

/**
 * Group commit: one batch at a time is under way, what comes meanwhile is the next one. So the cost of a transaction
 * (lock, commit to disk, NOTIFY) is shared by everybody who waits.
 *
 * @param call has a connection of its own: appends must not wait behind reads.
 * @param committed told after each batch that wrote something.
 */
export function createAppender(call: Call, committed: () => void): Appender {
  let queue: Waiting[] = []
  let queuedBytes = 0
  let working: Promise<void> | undefined
  let draining = false

  async function append(
    stream: string,
    events: readonly NewEvent[],
    expected: ExpectedRevision,
  ): Promise<AppendResult> {
    const encoded = encodeAppend(stream, events, expected)
    const bytes = sizeOf(encoded)
    if (draining) throw new StoreUnavailable('the event store is closed')
    if (queue.length >= queueLimits.appends || queuedBytes + bytes > queueLimits.bytes) {
      throw new StoreUnavailable(`the event store does not keep up: ${queue.length} appends are waiting`)
    }
    const { promise, resolve, reject } = Promise.withResolvers<AppendResult>()
    queue.push({ stream, events: encoded, expected, bytes, resolve, reject })
    queuedBytes += bytes
    working ??= work()
    return promise
  }

  async function work(): Promise<void> {
    while (queue.length > 0) {
      // Callers woken by the last batch append again before this returns: 128 callers make one batch, not 1 and 127.
      await new Promise(setImmediate)
      const batch = takeBatch()
      try {
        await write(batch)
      } catch (error) {
        // Away for this batch is away for everybody who waits behind it.
        for (const waiting of [...batch, ...takeAll()]) waiting.reject(unavailable(error))
      }
    }
    working = undefined
  }

  /** From the front, up to the limits. An event id that the batch already has must see the first one's result. */
  function takeBatch(): Waiting[] {
    const ids = new Set<string>()
    let events = 0
    let bytes = 0
    let count = 0
    for (const waiting of queue) {
      events += waiting.events.length
      bytes += waiting.bytes
      const full = events > batchLimits.events || bytes > batchLimits.bytes
      if (count > 0 && (full || waiting.events.some((event) => ids.has(event.id)))) break
      for (const event of waiting.events) ids.add(event.id)
      queuedBytes -= waiting.bytes
      count += 1
    }
    return queue.splice(0, count)
  }

  function takeAll(): Waiting[] {
    const all = queue
    queue = []
    queuedBytes = 0
    return all
  }

  /** @throws only when the store is away. */
  async function write(batch: Waiting[]): Promise<void> {
    let decisions: Decision[]
    try {
      decisions = await appendPersistently(call, batch)
    } catch (error) {
      if (isUnavailable(error)) throw error
      if (batch.length === 1) return batch[0]?.reject(error)
      // The server refused the batch for something in one append: each by itself, so that only that one fails.
      for (const waiting of batch) await write([waiting])
      return
    }
    for (const [index, waiting] of batch.entries()) settle(waiting, decisions[index])
    if (decisions.some((decision) => decision.outcome === 'appended')) committed()
  }

  return {
    append,
    async drain() {
      draining = true
      await working
    },
  }
}

/**
 * A batch whose connection broke may be committed or not. Its event ids make it safe to send it again, whatever
 * happened: what was committed is then a duplicate, with the first result.
 */
async function appendPersistently(call: Call, batch: Waiting[]): Promise<Decision[]> {
  for (const pauseMs of retryPausesMs) {
    try {
      return await appendBatch(call, batch)
    } catch (error) {
      if (!isUnavailable(error)) throw error
      await pause(pauseMs)
    }
  }
  return appendBatch(call, batch)
}

function settle(waiting: Waiting, decision: Decision | undefined): void {
  try {
    waiting.resolve(resultOf(waiting, decision))
  } catch (error) {
    waiting.reject(error)
  }
}

/** What callers see when the store is away. */
export function unavailable(error: unknown): StoreUnavailable {
  const detail = error instanceof Error ? error.message : String(error)
  return new StoreUnavailable(`the event store cannot be reached, or cannot write: ${detail}`, { cause: error })
}
