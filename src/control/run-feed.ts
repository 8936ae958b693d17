import type { RecordedEvent } from '../domain/event.ts'
import { foldRun } from '../domain/fold-run.ts'
import { type RunId, runOfStream } from '../domain/ids.ts'
import type { RunState } from '../domain/run-state.ts'
import type { EventStore } from '../event-store/event-store.ts'
import { loadRun } from './run-log.ts'

/** One live subscription to all lifecycle streams, shared by everybody who waits for a run. */
export type RunFeed = {
  /** Reads the store until the signal aborts. @param after a position from before anybody waits. */
  follow(after: number, signal: AbortSignal): Promise<void>
  /**
   * Resolves with the run as soon as `reached` holds of it, and with what it was last when the signal aborts first.
   * undefined: no such run. @throws StoreUnavailable when the run cannot be read to begin with.
   */
  wait(runId: RunId, reached: (run: RunState) => boolean, signal: AbortSignal): Promise<SeenRun | undefined>
}

/** A run, and the position of the last of its events that was folded in. */
export type SeenRun = { state: RunState; position: number }

export function createRunFeed(store: EventStore): RunFeed {
  const listeners = new Map<RunId, Set<(event: RecordedEvent) => void>>()

  async function follow(after: number, signal: AbortSignal): Promise<void> {
    for await (const { events } of store.subscribe({ after, filter: { streamPrefixes: ['run-'] }, signal })) {
      for (const event of events) {
        const runId = runOfStream(event.stream)
        if (runId !== undefined) for (const listener of listeners.get(runId) ?? []) listener(event)
      }
    }
  }

  async function wait(
    runId: RunId,
    reached: (run: RunState) => boolean,
    signal: AbortSignal,
  ): Promise<SeenRun | undefined> {
    // Listening starts before the read, so that no event falls between the two; revisions sort out the overlap.
    const { promise: done, resolve, reject } = Promise.withResolvers<void>()
    const early: RecordedEvent[] = []
    let seen: SeenRun | undefined
    const apply = (event: RecordedEvent) => {
      if (seen === undefined || event.revision <= seen.state.revision) return
      try {
        seen = { state: foldRun(seen.state, event) ?? seen.state, position: event.position }
        if (reached(seen.state)) resolve()
      } catch (error) {
        // An event that cannot be read concerns those who wait for this run, and nobody else.
        reject(error)
      }
    }
    let receive = (event: RecordedEvent): void => void early.push(event)
    const stop = listen(runId, (event) => receive(event))
    const onAbort = () => resolve()
    signal.addEventListener('abort', onAbort)
    try {
      seen = await loadRun(store, runId)
      if (seen === undefined || reached(seen.state)) return seen
      receive = apply
      for (const event of early) apply(event)
      if (signal.aborted) resolve()
      await done
      return seen
    } finally {
      stop()
      signal.removeEventListener('abort', onAbort)
    }
  }

  function listen(runId: RunId, listener: (event: RecordedEvent) => void): () => void {
    const known = listeners.get(runId) ?? new Set()
    listeners.set(runId, known.add(listener))
    return () => {
      known.delete(listener)
      if (known.size === 0 && listeners.get(runId) === known) listeners.delete(runId)
    }
  }

  return { follow, wait }
}
