import type { Expected, LogRecord } from './log.ts'
import { metastreamOf } from './stream-metadata.ts'

/** What the server makes of one stream of a transaction. `current` is the stream's last revision, -1 where it has none. */
export type Decision =
  | { decision: 'ok' | 'conflict' | 'corrupted'; current: number }
  /** All its events are there already; `revision` is that of the last of them. */
  | { decision: 'idempotent'; current: number; revision: number }

/** The ids that the server has in memory: those written since it was started, and no more than fit. */
export type CommittedIds = ReturnType<typeof createCommittedIds>

export function createCommittedIds(limit = 1_000_000) {
  const known = new Map<string, { stream: string; revision: number }>()
  return {
    add({ id, stream, revision }: LogRecord): void {
      known.set(id, { stream, revision })
      const oldest = known.size > limit ? known.keys().next().value : undefined
      if (oldest !== undefined) known.delete(oldest)
    },
    revisionIn(stream: string, id: string): number | undefined {
      const found = known.get(id)
      return found?.stream === stream ? found.revision : undefined
    },
  }
}

type Request = { stream: string; expected: Expected; ids: readonly string[] }
type Known = { recordsOf(stream: string): readonly LogRecord[]; committedIds: CommittedIds }

/**
 * The rules of KurrentDB 25/26 (`IndexWriter.CheckCommit`). Without an exact revision it knows an event again only by
 * an id it has in memory, so not after a restart. With one that has been passed it compares the ids at those revisions.
 * With one that is the stream's last it looks at no id at all.
 */
export function check({ stream, expected, ids }: Request, known: Known): Decision {
  const existing = known.recordsOf(stream)
  const current = existing.length - 1
  const conflict: Decision = { decision: 'conflict', current }
  const ok: Decision = { decision: 'ok', current }

  if (expected === 'any' || expected === 'stream-exists') {
    const exists = current >= 0 || known.recordsOf(metastreamOf(stream)).length > 0
    if (expected === 'stream-exists' && !exists) return conflict
    const revisions = ids.map((id) => known.committedIds.revisionIn(stream, id))
    if (revisions[0] === undefined) return ok
    if (revisions.includes(undefined)) return { decision: 'corrupted', current }
    return { decision: 'idempotent', current, revision: revisions.at(-1) ?? current }
  }

  const last = expected === 'no-stream' ? -1 : expected
  if (last === current) return ok
  if (last > current || ids.length === 0) return conflict
  const different = ids.findIndex((id, index) => existing[last + 1 + index]?.id !== id)
  if (different === 0) return conflict
  if (different > 0) return { decision: 'corrupted', current }
  return { decision: 'idempotent', current, revision: last + ids.length }
}
