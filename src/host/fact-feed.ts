import type { Fact } from '../domain/host-link.ts'
import type { RunId } from '../domain/ids.ts'
import type { Bell } from './bell.ts'
import type { FactLog } from './fact-log.ts'

const batchMax = 500
/** Facts that were offered and not acknowledged are offered again after this. */
const offerAgainMs = 10_000

/** Facts of all runs that the store does not have yet: each run's in order, then whatever comes. Ends on abort. */
export async function* factFeed(
  logs: () => Iterable<readonly [RunId, FactLog]>,
  bell: Bell,
  signal: AbortSignal,
): AsyncGenerator<Fact[]> {
  let offered = new Map<RunId, number>()
  let offerAgainAt = performance.now() + offerAgainMs
  while (!signal.aborted) {
    const batch: Fact[] = []
    for (const [runId, log] of logs()) {
      const facts = log.after(offered.get(runId) ?? 0, batchMax - batch.length)
      const last = facts.at(-1)
      if (last !== undefined) offered.set(runId, last.sequence)
      batch.push(...facts)
      if (batch.length === batchMax) break
    }
    if (batch.length > 0) yield batch
    else await bell.wait(Math.max(1, offerAgainAt - performance.now()), signal)
    if (performance.now() < offerAgainAt) continue
    offered = new Map()
    offerAgainAt = performance.now() + offerAgainMs
  }
}
