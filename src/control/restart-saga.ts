import { decide, type RequestRun } from '../domain/decide.ts'
import type { Actor } from '../domain/event.ts'
import { type RunId, runStream } from '../domain/ids.ts'
import type { RunEventBody } from '../domain/run-events.ts'
import { isTerminal, type RestartState, type RunState } from '../domain/run-state.ts'
import type { EventStore } from '../event-store/event-store.ts'
import { derivedEventId } from './derived-event-id.ts'
import { envelope, loadRun } from './run-log.ts'

/**
 * The end of a restart: once the old run is over, the new one is requested, and then the old one says so. Each step is
 * recognised when it is met again, so it may be called after every event of the run, by several servers, and after a
 * crash between the two.
 * @throws StoreUnavailable
 */
export async function finishRestart(store: EventStore, runId: RunId, now: () => Date): Promise<void> {
  for (;;) {
    const state = (await loadRun(store, runId))?.state
    if (state?.restart == null || !isTerminal(state.status) || state.restartedAs !== null) return
    await requestNewRun(store, state, state.restart, now)
    const restarted: RunEventBody = { type: 'RunRestarted', data: { newRunId: state.restart.newRunId } }
    const event = envelope(restarted, metadataOf(state.restart, 'restarted', now))
    const appended = await store.append(runStream(runId), [event], state.revision)
    if (appended.outcome === 'appended') return
  }
}

async function requestNewRun(store: EventStore, old: RunState, restart: RestartState, now: () => Date): Promise<void> {
  const command: RequestRun = {
    type: 'RequestRun',
    runId: restart.newRunId,
    workflow: restart.workflow,
    host: old.host,
    work: { kind: 'launch', launch: restart.launch },
    policy: restart.policy,
    labels: restart.labels ?? old.labels,
    restartOf: old.runId,
    ...(restart.workflowVersion === undefined ? {} : { workflowVersion: restart.workflowVersion }),
  }
  const decision = decide(command, undefined)
  if (!decision.ok) throw new Error(`a restart's new run ${restart.newRunId} was refused`)
  const events = decision.events.map((body) => envelope(body, metadataOf(restart, 'requested', now)))
  // With the same event id this is done once; another run of that id would be a clash of 48 random bits.
  const appended = await store.append(runStream(restart.newRunId), events, 'no-stream')
  if (appended.outcome === 'appended') return
  const found = await loadRun(store, restart.newRunId)
  if (found?.state.restartOf !== old.runId) throw new Error(`${restart.newRunId} is taken by another run`)
}

/** Whoever asked for the restart is the one who started the new run. */
function metadataOf(restart: RestartState, step: string, now: () => Date) {
  const actor: Actor = restart.requestedBy
  return {
    eventId: derivedEventId(`${restart.cause.eventId}/${step}`),
    actor,
    correlationId: restart.cause.correlationId,
    causationId: restart.cause.eventId,
    occurredAt: now().toISOString(),
  }
}
