import type { RecordedEvent } from '../../src/domain/event.ts'
import type { EventBatch, EventStore, SubscribeOptions } from '../../src/event-store/event-store.ts'

export async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const collected: Item[] = []
  for await (const item of items) collected.push(item)
  return collected
}

/** A subscription that is consumed as fast as it yields; every wait ends with the test's time limit at the latest. */
export function follow(store: EventStore, options: Partial<SubscribeOptions> = {}) {
  const controller = new AbortController()
  const events: RecordedEvent[] = []
  const batches: EventBatch[] = []
  let changed = Promise.withResolvers<void>()

  async function consume(): Promise<void> {
    for await (const batch of store.subscribe({ after: 0, ...options, signal: controller.signal })) {
      batches.push(batch)
      events.push(...batch.events)
      changed.resolve()
      changed = Promise.withResolvers()
    }
  }
  const ended = consume()
  // Whoever waits for a condition learns of a subscription that failed.
  const failed = ended.then(() => new Promise<never>(() => {}))
  failed.catch(() => {})

  return {
    events,
    batches,
    /** Resolves when the subscription has ended; rejects with what it threw. */
    ended,
    async until(condition: () => boolean): Promise<void> {
      while (!condition()) await Promise.race([changed.promise, failed])
    },
    async stop(): Promise<void> {
      controller.abort()
      await ended
    },
  }
}
