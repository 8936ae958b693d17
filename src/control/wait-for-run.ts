import type { RunState } from '../domain/run-state.ts'
import { StoreUnavailable } from '../event-store/event-store.ts'
import type { RunFeed, SeenRun } from './run-feed.ts'

/**
 * What was asked for is recorded: a store that goes away now must not be answered as if nothing had been done.
 * @returns the run when `reached` holds of it, or as it was last when `until` aborts
 */
export async function waitForRun(
  feed: RunFeed,
  accepted: SeenRun,
  reached: (run: RunState) => boolean,
  until: AbortSignal,
): Promise<SeenRun> {
  try {
    return (await feed.wait(accepted.state.runId, reached, until)) ?? accepted
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error
    return accepted
  }
}
