import { type AllStreamSubscription, type Position, START, streamNameFilter } from '@kurrent/kurrentdb-client'
import type { RecordedEvent } from '../domain/event.ts'
import { type EventBatch, StoreUnavailable, type SubscriptionFilter } from './event-store.ts'
import type { Live } from './kurrentdb-connection.ts'
import { toEvent, userStreams } from './kurrentdb-event.ts'
import { toNumber, toPosition } from './kurrentdb-position.ts'

export type FeedBatch = EventBatch & {
  /**
   * Of the last event among these, our own or not; 0 for none. Beyond it, `position` counts what is the server's own,
   * and lies after the store's head: right to go on from at the server, and for nothing else.
   */
  lastEvent: number
  /** The server had nothing more to send after this. */
  caughtUp: boolean
}

/** What a reader that is slow leaves waiting here; then the server is asked to wait. */
const waitingMax = 2_000

/** The server tells its position at least after so many events that the filter did not match. */
const checkpoints = { maxSearchWindow: 1_000, checkpointInterval: 1 }

/**
 * One subscription of the server, to all streams that match, in batches as they come. Ends on abort and when the
 * client is given up. Throws what breaks it, and where the server ends it.
 *
 * The client announces checkpoints and "caught up" beside the stream of events, which may still hold events from
 * before them; a position that overtakes its events would lose them at the next start. So each waits until every event
 * that had come before it has been taken over.
 */
export async function* openFeed(
  { client, gone, deadlineMs }: Live,
  after: number,
  filter: SubscriptionFilter | undefined,
  signal: AbortSignal,
): AsyncGenerator<FeedBatch> {
  const stop = AbortSignal.any([signal, gone])
  if (stop.aborted) return
  let events: RecordedEvent[] = []
  let position = after
  let lastEvent = 0
  let caughtUp = false
  let taken = 0
  let claims: { after: number; position: number | undefined; caughtUp: boolean }[] = []
  let failure: { error: unknown } | undefined
  let changed = Promise.withResolvers<void>()
  const wake = () => {
    changed.resolve()
    changed = Promise.withResolvers()
  }

  function claim(reached: Position | undefined, caughtUp: boolean): void {
    try {
      const position = reached && toNumber(reached)
      claims.push({ after: taken + subscription.readableLength, position, caughtUp })
      settleClaims()
    } catch (error) {
      // Thrown from here it would be nobody's: the client calls from within its stream.
      fail(error)
    }
  }

  function settleClaims(): void {
    const due = claims.filter((claim) => claim.after <= taken)
    if (due.length === 0) return
    claims = claims.filter((claim) => claim.after > taken)
    for (const claim of due) {
      position = Math.max(position, claim.position ?? 0)
      caughtUp ||= claim.caughtUp
    }
    wake()
  }

  function fail(error: unknown): void {
    failure ??= { error }
    wake()
  }

  const checkpointReached = (_: unknown, reached: Position) => claim(reached, false)
  const subscription = client.subscribeToAll({
    fromPosition: after === 0 ? START : toPosition(after),
    requiresLeader: true,
    filter:
      filter === undefined
        ? streamNameFilter({ regex: userStreams, ...checkpoints, checkpointReached })
        : streamNameFilter({ prefixes: filter.streamPrefixes, ...checkpoints, checkpointReached }),
  })
  // For a subscription the client itself would wait for ever.
  const unanswered = setTimeout(
    () => fail(new StoreUnavailable(`KurrentDB has not answered a subscription within ${deadlineMs} ms`)),
    deadlineMs,
  )
  subscription.on('confirmation', () => clearTimeout(unanswered))
  subscription.on('error', fail)
  subscription.on('end', () => fail(new Error('the server has ended the subscription')))
  subscription.on('close', () => fail(new Error('the server has closed the subscription')))
  subscription.on('caughtUp', ({ position }) => claim(position, true))
  subscription.on('data', (resolved) => {
    taken += 1
    try {
      const at = toNumber(resolved.event?.position)
      const event = toEvent(resolved)
      if (at > after && event !== undefined) events.push(event)
      position = Math.max(position, at)
      lastEvent = at
    } catch (error) {
      fail(error)
    }
    if (events.length >= waitingMax) subscription.pause()
    settleClaims()
    wake()
  })
  stop.addEventListener('abort', wake)

  try {
    let told = after
    while (!stop.aborted) {
      const next = changed.promise
      if (position > told || caughtUp) {
        const batch = { events, position, lastEvent, caughtUp }
        events = []
        told = position
        caughtUp = false
        if (subscription.isPaused()) subscription.resume()
        yield batch
        continue
      }
      if (failure !== undefined) throw failure.error
      await next
    }
  } finally {
    clearTimeout(unanswered)
    stop.removeEventListener('abort', wake)
    void unsubscribe(subscription)
  }
}

/** Its errors are those of a stream that nobody reads any more; the listener stays, for an error without one is thrown. */
async function unsubscribe(subscription: AllStreamSubscription): Promise<void> {
  subscription.removeAllListeners('data')
  subscription.resume()
  await subscription.unsubscribe().catch(() => {})
}
