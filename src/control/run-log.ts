import type { EventMetadata } from '../domain/event.ts'
import { evolve } from '../domain/evolve.ts'
import { foldRun } from '../domain/fold-run.ts'
import { type RunId, runStream, telemetryStream } from '../domain/ids.ts'
import { type NewRunEvent, type RecordedRunEvent, type RunEventBody, runEventVersion } from '../domain/run-events.ts'
import type { RunState } from '../domain/run-state.ts'
import type { EventStore } from '../event-store/event-store.ts'

/** A run folded from its own stream: the only thing that decisions rest on. */
export type LoadedRun = {
  state: RunState
  /** Position of RunRequested, or of what was appended with it: the run's place in its host's queue. */
  order: number
  /** Position of its last event. */
  position: number
}

/** undefined: there is no such run. */
export async function loadRun(store: EventStore, runId: RunId): Promise<LoadedRun | undefined> {
  let state: RunState | undefined
  let order = 0
  let position = 0
  for await (const event of store.readStream(runStream(runId))) {
    if (event.revision === 0) order = event.position
    position = event.position
    state = foldRun(state, event)
  }
  return state === undefined ? undefined : { state, order, position }
}

/** The highest number among the host's facts that became heartbeats; 0 when there is none. */
export async function lastTelemetrySequence(store: EventStore, runId: RunId): Promise<number> {
  const last = store.readStream(telemetryStream(runId), { direction: 'backwards', maxCount: 1 })
  for await (const event of last) return event.metadata.fact?.sequence ?? 0
  return 0
}

export const envelope = (body: RunEventBody, metadata: EventMetadata): NewRunEvent =>
  ({ ...body, v: runEventVersion[body.type], metadata }) as NewRunEvent

/**
 * The state after events that are appended right after `revision`, before the store has given them back.
 * Position and recordedAt take no part in a fold.
 */
export function foldNew(state: RunState | undefined, events: readonly NewRunEvent[], stream: string): RunState {
  const before = state?.revision ?? -1
  const folded = events.reduce<RunState | undefined>(
    (now, event, index) =>
      evolve(now, { ...event, stream, revision: before + 1 + index, position: 0, recordedAt: '' } as RecordedRunEvent),
    state,
  )
  if (folded === undefined) throw new Error(`events for ${stream} do not begin with RunRequested`)
  return folded
}
