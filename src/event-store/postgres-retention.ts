import { pause } from '../postgres/retry.ts'
import { checkRetention } from './encode.ts'
import type { Retention } from './event-store.ts'
import type { Query } from './postgres-reader.ts'

/**
 * Of one transaction. With 128 callers appending: 0.92 of their rate, their p99 as before (34 ms), 16,000 events removed a
 * second.
 */
const stepMax = { events: 500, streams: 100 }

export function createRetention(query: Query) {
  async function set(stream: string, retention: Retention): Promise<void> {
    checkRetention(stream, retention)
    const { maxAgeMs = null, maxCount = null } = retention
    await query({
      text: `
        insert into event_store.retention as r (stream, max_age_ms, max_count, due_at) values ($1, $2, $3, now())
        on conflict (stream) do update set max_age_ms = $2, max_count = $3, due_at = now()
        where (r.max_age_ms, r.max_count) is distinct from ($2, $3)`,
      values: [stream, maxAgeMs, maxCount],
    })
  }

  /** Rests as long as it works, so that it never takes more than half of what one connection can. */
  async function retire(signal?: AbortSignal): Promise<number> {
    let removed = 0
    while (!signal?.aborted) {
      const begun = performance.now()
      const [row] = await query({
        text: 'select looked, removed from event_store.retire($1, $2)',
        values: [stepMax.events, stepMax.streams],
      })
      if (row === undefined || row[0] === 0) break
      removed += Number(row[1])
      await pause(performance.now() - begun, signal)
    }
    return removed
  }

  return { set, retire }
}
