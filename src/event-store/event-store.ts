import type { NewEvent, RecordedEvent } from '../domain/event.ts'

/** What a writer believes of the stream; a number is the revision of its last event. */
export type ExpectedRevision = 'any' | 'no-stream' | 'stream-exists' | number

export type AppendResult =
  | {
      outcome: 'appended'
      /** Revision of the stream's last event of this append. */
      revision: number
      /** Position of this append's last event. */
      position: number
      /** The same events were there already: nothing was written. Revision and position are the first append's. */
      duplicate: boolean
    }
  /** Nothing was written. `actual` is -1 where the stream does not exist. */
  | { outcome: 'wrong-expected-revision'; expected: ExpectedRevision; actual: number }

/** One append of {@link EventStore.appendAll}. */
export type StreamAppend = { stream: string; events: readonly NewEvent[]; expected: ExpectedRevision }

export type ReadStreamOptions = {
  /** First revision to read; forwards from the start, backwards from the end when absent. */
  from?: number
  direction?: 'forwards' | 'backwards'
  maxCount?: number
  signal?: AbortSignal
}

/** Which events a subscription yields. No filter: all. */
export type SubscriptionFilter = { streamPrefixes: string[] }

export type SubscribeOptions = {
  /**
   * Yields events whose position is greater. 0: from the beginning. 'end': only what is committed from now on; an empty
   * batch comes first, which says where that is.
   */
  after: number | 'end'
  filter?: SubscriptionFilter
  signal: AbortSignal
  /** Events per batch at most. Default 500. */
  batchSize?: number
}

export type EventBatch = {
  /** In order of position; may be empty (the filter matched nothing, yet the position moved on). */
  events: RecordedEvent[]
  /** Everything up to here has been yielded or did not match the filter: resume after it. */
  position: number
}

/** How much of a stream is kept; what is left out does not limit. */
export type Retention = {
  /** Events that were recorded longer ago go. Milliseconds; an engine may round up to seconds. */
  maxAgeMs?: number
  /** So many of the newest stay; at least 1. */
  maxCount?: number
}

/** What a store can tell of itself; null: the engine cannot tell. */
export type StoreStats = {
  engine: 'postgresql' | 'kurrentdb'
  /** Of the server. */
  version: string | null
  storeId: string
  /** Position of the last event. */
  head: number
  /** That can be read. */
  events: number | null
  /** That retention has removed. */
  retiredEvents: number | null
  bytesOnDisk: number | null
  streams: StreamKind[] | null
  /** When the first event that is still there was recorded, and the last one. ISO 8601 UTC; null in an empty store. */
  oldestAt: string | null
  newestAt: string | null
  /** Mean of the last minute. */
  appendedPerSecond: number | null
}

/** All streams whose names begin alike: `run`, `telemetry`, `audit`, … */
export type StreamKind = { kind: string; streams: number; events: number; retired: number }

/** The store could not be reached, or could not write (disk full). Nothing is known to be written; try again. */
export class StoreUnavailable extends Error {
  override readonly name: string = 'StoreUnavailable'
}

/**
 * The store refuses the credentials, or gives their user too few rights. For whoever wants to work that is as if it were
 * away: the lifecycle goes on without it. But waiting for its return may be in vain.
 */
export class StoreAccessDenied extends StoreUnavailable {
  override readonly name = 'StoreAccessDenied'
}

/**
 * Where every lifecycle transition is kept. One contract suite (test/contract) runs against each engine.
 *
 * - An append is all or nothing, and durable when it resolves.
 * - Events of one append have consecutive revisions and increasing positions, with no other event between them.
 * - Position order is commit order: a reader that has seen position n will never meet a new event at or below n.
 * - Idempotent by (stream, event id): the check comes before that of `expected`. An append of which some, not all,
 *   ids are known is a bug of the caller and throws.
 * - Data comes back as the JSON it was, but for NUL characters and lone surrogates: they become U+FFFD.
 *
 * - Positions increase; how far they are apart means nothing (PostgreSQL counts events, KurrentDB places in its log).
 *
 * Every method throws {@link StoreUnavailable} when the store is away ({@link StoreAccessDenied}: refuses us), except
 * `subscribe`, which waits for its return.
 */
export interface EventStore {
  append(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): Promise<AppendResult>
  /**
   * Many appends to many streams, committed in this order, each whole or not at all, as fast as the engine can: for who
   * brings a history. A conflict in one keeps none of the others back. When it throws, what was committed is a beginning
   * of the list, and the same call again completes it.
   * @returns the result of each, in their order
   */
  appendAll(appends: readonly StreamAppend[]): Promise<AppendResult[]>
  /** Ends at the last event there was when the read began, or later; yields nothing for an unknown stream. */
  readStream(stream: string, options?: ReadStreamOptions): AsyncIterable<RecordedEvent>
  /** Every event with a position greater than `after`, to the end there was when the read began, or later. */
  readAll(after: number, options?: { signal?: AbortSignal }): AsyncIterable<RecordedEvent>
  /** Catches up, then goes live; no gap and no duplicate; ends on abort. */
  subscribe(options: SubscribeOptions): AsyncIterable<EventBatch>
  /** Position of the last committed event; 0 in an empty store. */
  head(): Promise<number>
  /**
   * Replaces what was set before; `{}`: everything is kept. The stream need not exist yet. Events go from the oldest on,
   * by `retire`; the others keep their revisions and positions, and a stream whose events are all gone still exists and
   * goes on with its next revision. The ids of events that are gone are forgotten.
   * @throws TypeError for what is no retention
   */
  setRetention(stream: string, retention: Retention): Promise<void>
  /**
   * Removes what retention does not keep, in small steps beside the appends, until there is nothing more to remove for
   * now, or the signal aborts. After it `readStream` does not yield it; `readAll` and `subscribe` may, in an engine that
   * frees the space by itself.
   * @returns how many events were removed; 0 where the engine's server does it by itself.
   */
  retire(signal?: AbortSignal): Promise<number>
  /** Takes up to a second in a store of millions of streams. */
  stats(): Promise<StoreStats>
  /** Which store this is: a UUID made when the store was made. A data directory is bound to it. */
  storeId(): Promise<string>
  /** Ends subscriptions, lets appends under way finish, closes connections. */
  close(): Promise<void>
}
