import { toEvent } from './kurrentdb-event.ts'
import type { KurrentReader } from './kurrentdb-reader.ts'

/** What this process knows of a stream: everything up to `last`. */
export type KnownStream = {
  /** Revision of the last event; -1: there is none. */
  last: number
  /** Revisions by event id. */
  ids: Map<string, number>
}

export type KnownStreams = ReturnType<typeof createKnownStreams>

/** Event ids that are kept, of all streams together: about 25 MB. */
const idsMax = 200_000
/** Events that are read at once, to learn of their ids. */
const pageSize = 1_000

/**
 * The server knows an event id again only where it stands at the very revision that is asked for, or by a cache that
 * is empty after a restart. The promise of the port is wider, so the ids of the streams that are written to are known
 * here: an append at the exact revision up to which they are known cannot write one of them again.
 */
export function createKnownStreams(reader: KurrentReader) {
  /** The one that was used last is the last. */
  const streams = new Map<string, { stream: KnownStream; counted: number }>()
  let ids = 0

  function keep(name: string, stream: KnownStream): void {
    ids += stream.ids.size - (streams.get(name)?.counted ?? 0)
    streams.delete(name)
    streams.set(name, { stream, counted: stream.ids.size })
    for (const [oldest, { counted }] of streams) {
      if (ids <= idsMax || oldest === name) return
      streams.delete(oldest)
      ids -= counted
    }
  }

  /**
   * Reads what is not known yet.
   * @param actual revision that the server tells of: retention may have left no event that would tell it
   */
  async function refresh(name: string, stream: KnownStream, actual: number): Promise<void> {
    for (let more = true; more; ) {
      const page = await reader.streamPage(name, stream.last + 1, 'forwards', pageSize)
      for (const resolved of page) {
        const event = toEvent(resolved)
        if (event !== undefined) stream.ids.set(event.metadata.eventId.toLowerCase(), event.revision)
        stream.last = Math.max(stream.last, Number(resolved.event?.revision ?? -1))
      }
      more = page.length === pageSize
    }
    stream.last = Math.max(stream.last, actual)
    keep(name, stream)
  }

  return { get: (name: string) => streams.get(name)?.stream, keep, refresh }
}
