import type { RecordedEvent } from './event.ts'
import { evolve } from './evolve.ts'
import { runStream } from './ids.ts'
import { readRunEvent } from './run-events.ts'
import type { RunState } from './run-state.ts'

/**
 * The state after one more event of the run's streams, as the store gives it.
 * @param state undefined before RunRequested
 * @throws Error when the event is known and its data does not fit
 */
export function foldRun(state: RunState | undefined, event: RecordedEvent): RunState | undefined {
  const runEvent = readRunEvent(event)
  if (runEvent !== undefined) return evolve(state, runEvent)
  // Of a newer version, and nothing to us; yet the stream is longer by it, which appends are checked against.
  const isLifecycle = state !== undefined && event.stream === runStream(state.runId)
  return isLifecycle ? { ...state, revision: event.revision } : state
}
