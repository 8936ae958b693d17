import { type EventStore, StoreUnavailable } from '../event-store/event-store.ts'

/**
 * The store for whoever must not wait for it: one that does not answer within `limitMs` is away. An append that was
 * sent by then may still be written, later.
 */
export function hurriedStore(store: EventStore, limitMs: number): EventStore {
  return {
    ...store,
    append: (stream, events, expected) => within(limitMs, store.append(stream, events, expected)),
    async *readStream(stream, options) {
      const events = store.readStream(stream, options)[Symbol.asyncIterator]()
      for (;;) {
        const next = await within(limitMs, events.next())
        if (next.done) return
        yield next.value
      }
    },
  }
}

/** @throws StoreUnavailable */
function within<Result>(limitMs: number, work: Promise<Result>): Promise<Result> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new StoreUnavailable(`It has not answered within ${limitMs} ms.`)), limitMs)
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}
