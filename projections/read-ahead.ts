import type { EventBatch, EventStore, SubscribeOptions } from '../src/event-store/event-store.ts'

/** A subscription of which each batch is asked for before the one before it is used: reading and using go on together. */
export async function* readAhead(store: EventStore, options: SubscribeOptions): AsyncGenerator<EventBatch> {
  // What is asked for may never come: whoever has enough does not wait for it.
  const enough = new AbortController()
  const signal = AbortSignal.any([options.signal, enough.signal])
  const batches = store.subscribe({ ...options, signal })[Symbol.asyncIterator]()
  let next = batches.next()
  try {
    for (;;) {
      const { done, value } = await next
      if (done) return
      next = batches.next()
      // If nobody comes for it, its failure is nobody's.
      next.catch(() => {})
      yield value
    }
  } finally {
    enough.abort()
    await batches.return?.()
  }
}
