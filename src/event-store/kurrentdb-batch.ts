import {
  AppendConsistencyViolationError,
  type AppendStreamState,
  type KurrentDBClient,
  NO_STREAM,
  STREAM_STATE,
  UnsupportedError,
  WrongExpectedVersionError,
} from '@kurrent/kurrentdb-client'
import { StoreAccessDenied, StoreUnavailable } from './event-store.ts'
import { isAway, type KurrentConnection } from './kurrentdb-connection.ts'
import { toNumber } from './kurrentdb-position.ts'
import type { KurrentReader } from './kurrentdb-reader.ts'
import type { ExactWrite, Written } from './kurrentdb-writer.ts'

/**
 * What became of each write of a batch, in order. `alone`: it is to be made by itself, for the server has no call for
 * many streams, or did not say whose fault it was.
 */
export type BatchWritten = Written | { outcome: 'alone' }

/**
 * Streams in one call of `AppendSession` (25.1). The client (1.3.1) sends a message for each, and waits with the 17th
 * until one has left; when the connection breaks meanwhile, that failure is nobody's, and ends the process.
 */
const sessionMax = 12

/** Writes to many streams in one call and one transaction: servers from 25.1 on. */
export function createBatchWriter(connection: KurrentConnection, reader: KurrentReader) {
  let streamsMax = Number.POSITIVE_INFINITY
  let appendTogether = appendRecords

  /**
   * @param writes to as many streams, `streamsMax` at most
   * @throws StoreUnavailable when nothing is known of the outcome
   */
  async function write(writes: readonly ExactWrite[]): Promise<BatchWritten[]> {
    const alone = () => writes.map(() => ({ outcome: 'alone' }) as const)
    try {
      const commit = await connection.call((client) => appendTogether(client, writes))
      return await written(writes, toNumber({ commit, prepare: commit }))
    } catch (error) {
      if (error instanceof StoreAccessDenied) throw error
      if (error instanceof StoreUnavailable && isAway(error.cause)) throw error
      if (error instanceof UnsupportedError) fallBack()
      return writeOthers(writes, conflictsOf(error)) ?? alone()
    }
  }

  /** `AppendRecords` came with 26.1, `AppendSession` with 25.1. */
  function fallBack(): void {
    streamsMax = appendTogether === appendRecords ? sessionMax : 1
    appendTogether = appendSession
  }

  /** Who lost a race is told so; the others are written. undefined: it cannot be told who lost. */
  function writeOthers(
    writes: readonly ExactWrite[],
    conflicts: ReadonlyMap<string, number>,
  ): Promise<BatchWritten[]> | undefined {
    const others = writes.filter(({ stream }) => !conflicts.has(stream))
    if (others.length === writes.length) return undefined
    return (others.length === 0 ? Promise.resolve([]) : write(others)).then((results) =>
      writes.map((one) => {
        const actual = conflicts.get(one.stream)
        if (actual !== undefined) return { outcome: 'conflict', actual }
        return results[others.indexOf(one)] ?? { outcome: 'alone' }
      }),
    )
  }

  async function written(writes: readonly ExactWrite[], end: number): Promise<Written[]> {
    const positions = await positionsOf(writes, end).catch((error) => {
      // It is written. Where the batch ends is where each of its writes can be seen.
      if (error instanceof StoreUnavailable) return []
      throw error
    })
    return writes.map(({ records, last }, index) => ({
      outcome: 'written',
      revision: last + records.length,
      position: positions[index] ?? end,
    }))
  }

  /** The server says where the batch ends, and its events lie together before that: one read backwards finds them. */
  async function positionsOf(writes: readonly ExactWrite[], end: number): Promise<number[]> {
    const others = writes.slice(0, -1)
    if (others.length === 0) return [end]
    const count = writes.reduce((sum, { records }) => sum + records.length, 0)
    const before = await reader.allBefore(end, count - 1)
    const places = new Map(before.map(({ event }) => [event?.id, toNumber(event?.position)]))
    const positions = others.map(async ({ stream, records, last }) => {
      const place = places.get(records.at(-1)?.id ?? '')
      return place ?? (await reader.positionAt(stream, last + records.length))
    })
    return [...(await Promise.all(positions)), end]
  }

  return {
    write,
    get streamsMax() {
      return streamsMax
    },
  }
}

export type BatchWriter = ReturnType<typeof createBatchWriter>

async function appendRecords(client: KurrentDBClient, writes: readonly ExactWrite[]): Promise<bigint> {
  const records = writes.flatMap(({ stream, records }) => records.map((record) => ({ streamName: stream, record })))
  const checks = writes.map(
    ({ stream, last }) => ({ type: STREAM_STATE, streamName: stream, expectedState: stateOf(last) }) as const,
  )
  return (await client.appendRecords(records, checks)).position
}

async function appendSession(client: KurrentDBClient, writes: readonly ExactWrite[]): Promise<bigint> {
  const requests = writes.map(({ stream, records, last }) => ({
    streamName: stream,
    events: records,
    expectedState: stateOf(last),
  }))
  return (await client.multiStreamAppend(requests)).position
}

const stateOf = (last: number): AppendStreamState => (last === -1 ? NO_STREAM : BigInt(last))

/** Streams that are not where they were expected, with their revisions; none when that was not what went wrong. */
function conflictsOf(error: unknown): Map<string, number> {
  const revision = (state: unknown) => (typeof state === 'bigint' ? Number(state) : -1)
  if (error instanceof WrongExpectedVersionError) return new Map([[error.streamName, revision(error.actualState)]])
  if (!(error instanceof AppendConsistencyViolationError)) return new Map()
  return new Map(error.violations.map(({ streamName, actualState }) => [streamName, revision(actualState)]))
}
