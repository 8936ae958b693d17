import type pg from 'pg'
import type { Projector } from '../../../projections/projector.ts'
import { runIdsOf } from '../../../projections/runs.ts'
import type { RunState } from '../../domain/run-state.ts'
import type { EventStore } from '../../event-store/event-store.ts'
import type { RunFilter } from './run-filter.ts'
import { findRuns, matches } from './runs.ts'

/**
 * Each run that matches after a change, as the projection has it then; from now on, until the signal aborts. Changes
 * that come while a slow reader is busy reach it together, as the run's latest state.
 * @throws ProjectionFailed, StoreUnavailable
 */
export async function* followRuns(
  store: EventStore,
  projector: Projector,
  pool: pg.Pool,
  filter: RunFilter & { runId?: string },
  signal: AbortSignal,
): AsyncGenerator<RunState> {
  const streamPrefixes = ['run-', 'telemetry-']
  for await (const { events } of store.subscribe({ after: 'end', filter: { streamPrefixes }, signal })) {
    const changed = runIdsOf(events).filter((runId) => filter.runId === undefined || filter.runId === runId)
    const last = events.at(-1)
    if (changed.length === 0 || last === undefined) continue
    if (!(await projected(projector, last.position, signal))) return
    for (const run of await findRuns(pool, changed)) if (matches(run, filter)) yield run
  }
}

/** false: aborted. */
async function projected(projector: Projector, position: number, signal: AbortSignal): Promise<boolean> {
  try {
    await projector.waitFor(position, signal)
    return true
  } catch (error) {
    if (signal.aborted) return false
    throw error
  }
}
