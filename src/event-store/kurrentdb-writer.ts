import { type EventData, NO_STREAM, STREAM_EXISTS, WrongExpectedVersionError } from '@kurrent/kurrentdb-client'
import type { KurrentConnection } from './kurrentdb-connection.ts'
import { toNumber } from './kurrentdb-position.ts'

export type Write = {
  stream: string
  records: EventData[]
  /** Of data and metadata, nearly. */
  bytes: number
  /** The revision after which it is to be written, -1 for a stream that does not exist. */
  last: number | 'stream-exists'
}

export type ExactWrite = Write & { last: number }

export type Written =
  | { outcome: 'written'; revision: number; position: number }
  /** `actual`: -1 for no stream. */
  | { outcome: 'conflict'; actual: number }

/**
 * Calls under way at once. They share one stream of messages, whose 17th waiting message the client (1.3.1) would put
 * into a queue of its own; when the connection breaks, it rejects what is in there where nobody can catch it, and that
 * ends the process. So there are never that many.
 */
const underWayMax = 12

/** In one message: a second one of the same append would be one more to wait. */
const wholeAppend = 32 * 1024 * 1024

/** Writes to one stream: the call that every server has, and that follows the leader. */
export function createStreamWriter(connection: KurrentConnection) {
  let underWay = 0
  const waiting: (() => void)[] = []

  /**
   * Writes at exactly this revision, or not at all. The same records once more at the same revision are no second
   * write: the server compares their ids.
   * @throws StoreUnavailable when nothing is known of the outcome
   */
  return async (write: Write): Promise<Written> => {
    if (underWay >= underWayMax) await new Promise<void>((resolve) => waiting.push(resolve))
    else underWay += 1
    try {
      return await append(connection, write)
    } finally {
      const next = waiting.shift()
      if (next === undefined) underWay -= 1
      else next()
    }
  }
}

export type StreamWriter = ReturnType<typeof createStreamWriter>

async function append(connection: KurrentConnection, { stream, records, last }: Write): Promise<Written> {
  const options = {
    streamState: last === 'stream-exists' ? STREAM_EXISTS : last === -1 ? NO_STREAM : BigInt(last),
    requiresLeader: true,
    batchAppendSize: wholeAppend,
    deadline: connection.deadlineMs,
  } as const
  try {
    const { nextExpectedRevision, position } = await connection.call((client) =>
      client.appendToStream(stream, records, options),
    )
    return { outcome: 'written', revision: Number(nextExpectedRevision), position: toNumber(position) }
  } catch (error) {
    if (!(error instanceof WrongExpectedVersionError)) throw error
    return { outcome: 'conflict', actual: typeof error.actualState === 'bigint' ? Number(error.actualState) : -1 }
  }
}
