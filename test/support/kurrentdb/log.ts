import { type CommittedIds, check, createCommittedIds, type Decision } from './commit-check.ts'
import { metastreamOf, readMetadata, type StreamMetadata } from './stream-metadata.ts'

/** What a writer believes of a stream; a number is the revision of its last event. */
export type Expected = 'any' | 'no-stream' | 'stream-exists' | number

export type Proposed = { id: string; type: string; isJson: boolean; data: Uint8Array; metadata: Uint8Array }

/** An event in the log. */
export type LogRecord = Proposed & {
  stream: string
  revision: number
  /** Where it begins in the log, in bytes: its commit and its prepare position. */
  offset: number
  /** Where the next one begins. */
  end: number
  createdMs: number
  /** Gone for good: a scavenge found it outside of its stream's limits. */
  scavenged: boolean
}

/** One transaction: what must hold of its streams, and its events in the order of the log. */
export type Transaction = {
  streams: readonly { stream: string; expected: Expected }[]
  events: readonly (Proposed & { streamIndex: number })[]
}

export type Outcome =
  | {
      outcome: 'committed'
      /** By stream: the revision of its last event of this transaction; of the stream's last one where it has none. */
      revisions: number[]
      position: number
    }
  /** Nothing was written. No failures: some of the events are there already, others are not. */
  | { outcome: 'conflict'; failures: { streamIndex: number; actual: number }[] }

export type Log = ReturnType<typeof createLog>

/**
 * What a KurrentDB server keeps: one log of events, whose positions are byte offsets, with system records of its own in
 * between. Here it is in memory, and outlives the server as a disk would.
 */
export function createLog(now: () => number = Date.now) {
  const records: LogRecord[] = []
  const streams = new Map<string, LogRecord[]>()
  let committedIds: CommittedIds = createCommittedIds()
  let changed = Promise.withResolvers<void>()
  let end = 0

  const recordsOf = (stream: string): readonly LogRecord[] => streams.get(stream) ?? []
  const lastRevision = (stream: string): number => recordsOf(stream).length - 1

  function write(stream: string, proposed: Proposed): LogRecord {
    const own = streams.get(stream) ?? []
    streams.set(stream, own)
    const size = 120 + stream.length + proposed.type.length + proposed.data.length + proposed.metadata.length
    const { id, type, isJson, data, metadata } = proposed
    const place = { stream, revision: own.length, offset: end, end: end + size, createdMs: now(), scavenged: false }
    const record = { id, type, isJson, data, metadata, ...place }
    end += size
    own.push(record)
    records.push(record)
    return record
  }

  /** As the server does it: all or nothing, with its own idea of idempotency (commit-check.ts). */
  function commit({ streams: wanted, events }: Transaction): Outcome {
    const decisions = wanted.map(({ stream, expected }, index) => {
      const ids = events.filter(({ streamIndex }) => streamIndex === index).map(({ id }) => id)
      return check({ stream, expected, ids }, { recordsOf, committedIds })
    })
    const refused = refusal(decisions)
    if (refused !== undefined) return refused
    if (decisions.every(({ decision }) => decision === 'idempotent')) return earlier(wanted, decisions)
    for (const event of events) {
      const { stream } = wanted[event.streamIndex] ?? { stream: '' }
      committedIds.add(write(stream, event))
    }
    changed.resolve()
    changed = Promise.withResolvers()
    const revisions = wanted.map(({ stream }) => lastRevision(stream))
    return { outcome: 'committed', revisions, position: records.at(-1)?.offset ?? 0 }
  }

  function earlier(wanted: Transaction['streams'], decisions: Decision[]): Outcome {
    const revisions = decisions.map((found) => (found.decision === 'idempotent' ? found.revision : -1))
    const positions = wanted.map(({ stream }, index) => recordsOf(stream)[revisions[index] ?? -1]?.offset ?? -1)
    return { outcome: 'committed', revisions, position: Math.max(...positions) }
  }

  const metadataOf = (stream: string): StreamMetadata => readMetadata(recordsOf(metastreamOf(stream)).at(-1))

  function isWithinLimits(record: LogRecord, metadata: StreamMetadata): boolean {
    const { maxCount = Infinity, maxAgeMs = Infinity, truncateBefore = 0 } = metadata
    const isCounted = record.revision > lastRevision(record.stream) - maxCount
    return isCounted && record.revision >= truncateBefore && record.createdMs >= now() - maxAgeMs
  }

  // What a new database writes before anybody else can.
  for (const type of ['$UserCreated', '$metadata', '$UserCreated']) {
    write('$users', { ...nothing, id: crypto.randomUUID(), type, isJson: true })
  }

  return {
    commit,
    lastRevision,
    /** The events of a stream that its metadata lets readers see; undefined where it has never been written to. */
    visible(stream: string): LogRecord[] | undefined {
      const own = streams.get(stream)
      const metadata = metadataOf(stream)
      return own?.filter((record) => !record.scavenged && isWithinLimits(record, metadata))
    },
    /** Every event from an offset on that no scavenge has removed, whatever its stream's metadata says. */
    *from(offset: number): Generator<LogRecord> {
      for (let index = indexAt(records, offset); index < records.length; index += 1) yield* kept(records[index])
    },
    /** Backwards, every event before an offset. */
    *before(offset: number): Generator<LogRecord> {
      for (let index = indexAt(records, offset) - 1; index >= 0; index -= 1) yield* kept(records[index])
    },
    /** A reader may begin only where a record begins, or at the log's end. */
    isBoundary: (offset: number) => offset === end || records[indexAt(records, offset)]?.offset === offset,
    /** Where the next event will begin. */
    get end() {
      return end
    },
    /** Resolves when something has been committed since it was asked for. */
    get changed() {
      return changed.promise
    },
    /** Removes what readers of streams cannot see any more, save the last event of each, as the server's scavenge. */
    scavenge(): void {
      for (const [stream, own] of streams) {
        const metadata = metadataOf(stream)
        for (const record of own.slice(0, -1)) record.scavenged ||= !isWithinLimits(record, metadata)
      }
    },
    /** What the server kept in its memory alone is gone with its process. */
    restart(): void {
      committedIds = createCommittedIds()
    },
  }
}

const kept = (record: LogRecord | undefined) => (record === undefined || record.scavenged ? [] : [record])

const nothing = { data: new Uint8Array(), metadata: new Uint8Array() }

/** undefined when the transaction may be written, or has been. A mixture of both is refused without a reason. */
function refusal(decisions: Decision[]): Outcome | undefined {
  const count = (wanted: Decision['decision']) => decisions.filter(({ decision }) => decision === wanted).length
  if (count('ok') === decisions.length || count('idempotent') === decisions.length) return undefined
  const isMixed = count('corrupted') > 0 || count('idempotent') > 0
  const failures = decisions.flatMap(({ decision, current }, streamIndex) =>
    decision === 'conflict' || (decisions.length === 1 && isMixed) ? [{ streamIndex, actual: current }] : [],
  )
  return { outcome: 'conflict', failures: isMixed && decisions.length > 1 ? [] : failures }
}

/** The first record that begins at or after the offset. */
function indexAt(records: readonly LogRecord[], offset: number): number {
  let [low, high] = [0, records.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((records[middle]?.offset ?? 0) < offset) low = middle + 1
    else high = middle
  }
  return low
}
