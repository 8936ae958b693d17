import { type EventStore, StoreUnavailable } from '../event-store/event-store.ts'

/**
 * The store, closed to readers and writers for as long as it may not be used: it has not been reached yet, it is not
 * migrated, or it is not the one that this data directory belongs to.
 * @param away why it may not be used; undefined when it may.
 */
export function gatedStore(store: EventStore, away: () => string | undefined): EventStore {
  const assertOpen = () => {
    const why = away()
    if (why !== undefined) throw new StoreUnavailable(why)
  }
  return {
    async append(stream, events, expected) {
      assertOpen()
      return store.append(stream, events, expected)
    },
    async appendAll(appends) {
      assertOpen()
      return store.appendAll(appends)
    },
    async *readStream(stream, options) {
      assertOpen()
      yield* store.readStream(stream, options)
    },
    async *readAll(after, options) {
      assertOpen()
      yield* store.readAll(after, options)
    },
    async *subscribe(options) {
      assertOpen()
      yield* store.subscribe(options)
    },
    async head() {
      assertOpen()
      return store.head()
    },
    async setRetention(stream, retention) {
      assertOpen()
      return store.setRetention(stream, retention)
    },
    async retire(signal) {
      assertOpen()
      return store.retire(signal)
    },
    async stats() {
      assertOpen()
      return store.stats()
    },
    storeId: () => store.storeId(),
    close: () => store.close(),
  }
}
