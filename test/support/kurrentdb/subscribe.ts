import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import streams from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_pb.js'
import type { EventFilter } from './event-filter.ts'
import type { Log, LogRecord } from './log.ts'
import { isAfter, type Place, placeOf, toCaughtUp, toCheckpoint, toReadEvent } from './wire.ts'

export type Subscription = {
  log: Log
  /** Yields what comes after it; the beginning of the log where undefined. */
  after: Place | undefined
  filter: EventFilter | undefined
  hasTextIds: boolean
  send(message: streams.ReadResp): Promise<void>
  signal: AbortSignal
}

/** How many matching events the server reads at a time. */
const pageSize = 32

/**
 * A subscription to all streams, until the signal or `send` ends it. Its messages and their order are the server's
 * (`AllSubscription`, `AllSubscriptionFiltered`). A checkpoint of the past is the place where its last page begins, with
 * a prepare position of 0.
 */
export async function subscribe({ log, after, filter, hasTextIds, send, signal }: Subscription): Promise<void> {
  await send(
    new streams.ReadResp().setConfirmation(
      new streams.ReadResp.SubscriptionConfirmation().setSubscriptionId(randomUUID()),
    ),
  )
  let reached = after
  let told: Place | undefined
  let next = after?.commit ?? 0
  let lookedAt = 0
  const isNew = (record: LogRecord) => reached === undefined || isAfter(placeOf(record), reached)

  async function tell(record: LogRecord): Promise<void> {
    lookedAt += 1
    if (filter !== undefined && !filter.matches(record)) return
    await send(toReadEvent(record, hasTextIds))
    reached = placeOf(record)
  }

  async function tellCheckpoint(at: Place | undefined): Promise<void> {
    lookedAt = 0
    if (filter === undefined || at === undefined || (told !== undefined && !isAfter(at, told))) return
    told = at
    await send(toCheckpoint(at))
  }

  async function catchUp(): Promise<void> {
    while (next < log.end) {
      const pageStart: Place = { commit: next, prepare: 0 }
      const page = pageFrom(log, next, filter)
      for (const record of page) if (isNew(record)) await tell(record)
      next = page.at(-1)?.end ?? log.end
      if (reached === undefined || isAfter(pageStart, reached)) reached = pageStart
      if (filter !== undefined && lookedAt >= filter.checkpointInterval) await tellCheckpoint(reached)
    }
    await tellCheckpoint(reached)
  }

  async function goLive(): Promise<void> {
    const ended = once(signal, 'abort')
    while (!signal.aborted) {
      const { changed } = log
      for (const record of log.from(next)) {
        next = record.end
        if (!isNew(record)) continue
        await tell(record)
        if (filter !== undefined && lookedAt >= filter.checkpointInterval) await tellCheckpoint(placeOf(record))
      }
      await Promise.race([changed, ended])
    }
  }

  if (next < log.end) await catchUp()
  await send(toCaughtUp(reached))
  await goLive()
}

/** So many events as the filter looks at in one go, or fewer, when enough of them match. */
function pageFrom(log: Log, offset: number, filter: EventFilter | undefined): LogRecord[] {
  const page: LogRecord[] = []
  let matching = 0
  for (const record of log.from(offset).take(filter?.window ?? pageSize)) {
    page.push(record)
    if (filter === undefined || filter.matches(record)) matching += 1
    if (matching === pageSize) break
  }
  return page
}
