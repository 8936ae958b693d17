import type { EventStore } from './event-store.ts'
import { createKurrentAppender } from './kurrentdb-appender.ts'
import { createBatchWriter } from './kurrentdb-batch.ts'
import { connectKurrent } from './kurrentdb-connection.ts'
import { createGroupCommit } from './kurrentdb-group-commit.ts'
import { createKnownStreams } from './kurrentdb-known-streams.ts'
import { createKurrentReader } from './kurrentdb-reader.ts'
import { setKurrentRetention } from './kurrentdb-retention.ts'
import { createKurrentSubscriptions } from './kurrentdb-subscriptions.ts'
import { createStreamWriter } from './kurrentdb-writer.ts'

/**
 * The event store in KurrentDB (formerly EventStoreDB), 22.6 or newer. Connects on first use.
 *
 * @param url the official connection string: `kurrentdb://`, `kurrentdb+discover://`, or the older `esdb://`
 * @throws KurrentAddressError for a string that cannot be used
 */
export function createKurrentEventStore(url: string): EventStore {
  const connection = connectKurrent(url)
  const reader = createKurrentReader(connection)
  const subscriptions = createKurrentSubscriptions(connection, reader)
  const writer = createGroupCommit(createBatchWriter(connection, reader), createStreamWriter(connection))
  const appender = createKurrentAppender(reader, writer, createKnownStreams(reader))
  let storeId: string | undefined
  let closed: Promise<void> | undefined

  async function close(): Promise<void> {
    await Promise.all([appender.drain(), subscriptions.close()])
    await connection.close()
  }

  async function idOf(): Promise<string> {
    storeId ??= await reader.storeId()
    return storeId
  }

  return {
    append: appender.append,
    appendAll: appender.appendAll,
    readStream: reader.stream,
    readAll: (after, options) => reader.all(after, options?.signal),
    subscribe: subscriptions.subscribe,
    head: reader.head,
    setRetention: (stream, retention) => setKurrentRetention(connection, stream, retention),
    // The server does it: it hides at once what is not kept, and frees the space when it is scavenged.
    retire: async () => 0,
    async stats() {
      const [id, version, head, ages] = await Promise.all([idOf(), connection.version(), reader.head(), reader.ages()])
      const unknown = { events: null, retiredEvents: null, bytesOnDisk: null, streams: null, appendedPerSecond: null }
      return { engine: 'kurrentdb', version, storeId: id, head, ...ages, ...unknown }
    },
    storeId: idOf,
    close() {
      closed ??= close()
      return closed
    },
  }
}
