import { openSectionsMax } from './critical-section.ts'
import type { RecordedRunEvent } from './run-events.ts'
import type { RunState } from './run-state.ts'

type Of<Type extends RecordedRunEvent['type']> = Extract<RecordedRunEvent, { type: Type }>

/** A section that is open already goes on; what is beyond the bound is kept among the events only. */
export function entered(state: RunState, { data, metadata }: Of<'CriticalSectionEntered'>): RunState {
  const { id, kind, detail, expectedMs } = data
  if (state.sections.length >= openSectionsMax || state.sections.some((section) => section.id === id)) return state
  const section = { id, kind, detail, since: metadata.occurredAt, ...(expectedMs === undefined ? {} : { expectedMs }) }
  return { ...state, sections: [...state.sections, section] }
}

export const exited = (state: RunState, { data }: Of<'CriticalSectionExited'>): RunState => ({
  ...state,
  sections: state.sections.filter(({ id }) => id !== data.id),
})

export function killRequested(state: RunState, { data, metadata }: Of<'KillRequested'>): RunState {
  const { kind, reason, graceMs, proofDeadlineMs, sectionLimits, idempotencyKey } = data
  const { kill: before } = kind === 'graceful' ? state : deferralOver(state, metadata.occurredAt)
  return {
    ...state,
    cause: { correlationId: metadata.correlationId, eventId: metadata.eventId },
    status: 'KILLING',
    killPhase: kind === 'graceful' ? 'TERMINATING' : 'KILLING',
    kill: {
      kind,
      reason,
      graceMs,
      proofDeadlineMs,
      sectionLimits: sectionLimits ?? null,
      deferral: before?.deferral ?? null,
      requestedBy: metadata.actor,
      requestedAt: metadata.occurredAt,
      idempotencyKeys: [...(state.kill?.idempotencyKeys ?? []), ...(idempotencyKey ? [idempotencyKey] : [])],
    },
  }
}

/** Nothing is deferred any more once a stronger kill was asked for, or somebody was signalled: that only came late. */
export function deferred(state: RunState, { data, metadata }: Of<'KillDeferred'>): RunState {
  const { kill } = state
  if (kill === null) return state
  const isUnderWay = kill.kind === 'graceful' && state.firstSignalAt === null && state.status === 'KILLING'
  const deferral = {
    since: kill.deferral?.since ?? metadata.occurredAt,
    until: data.until,
    sections: data.sections,
    endedAt: isUnderWay ? null : (kill.deferral?.endedAt ?? metadata.occurredAt),
  }
  return { ...state, kill: { ...kill, deferral }, killPhase: isUnderWay ? 'DEFERRED' : state.killPhase }
}

/** The kill goes on, for whatever reason. */
export function deferralOver(state: RunState, at: string): Pick<RunState, 'kill' | 'killPhase'> {
  const { kill, killPhase } = state
  if (kill === null || kill.deferral === null || kill.deferral.endedAt !== null) return { kill, killPhase }
  return {
    kill: { ...kill, deferral: { ...kill.deferral, endedAt: at } },
    killPhase: killPhase === 'DEFERRED' ? 'TERMINATING' : killPhase,
  }
}
