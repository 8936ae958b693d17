import type { Actor, EventMetadata } from './event.ts'
import type { RunEventBody } from './run-events.ts'
import type { RunState, RunStatus } from './run-state.ts'

/** What was last asked for. */
export type PauseWish = {
  paused: boolean
  reason: string | null
  requestedBy: Actor
  requestedAt: string
  /** Revision of the event that asked for it, in the run's own stream: of two wishes the higher one counts. */
  revision: number
}

/** Of a run's state: what is wanted, and what its host has shown. */
export type Pausing = {
  /** null: nobody ever asked for a pause. */
  pause: PauseWish | null
  /** When its processes last stood still; `to` null: they do now. */
  lastPause: { from: string; to: string | null } | null
  /** How long the pauses took that are over. It is no age. */
  pausedMs: number
  /** How much of the time from the start to the first turn it stood still. */
  pausedBeforeFirstTurnMs: number
}

export const neverPaused: Pausing = { pause: null, lastPause: null, pausedMs: 0, pausedBeforeFirstTurnMs: 0 }

type Clocked = Pick<Pausing, 'lastPause' | 'pausedMs'>

/** Its processes stand still, as far as is known. */
export const standsStill = ({ lastPause }: Pick<Pausing, 'lastPause'>) => lastPause !== null && lastPause.to === null

/**
 * For how long the run has been paused in all, in milliseconds.
 * @param now milliseconds since the epoch.
 */
export function pausedMsAt({ lastPause, pausedMs }: Clocked, now: number): number {
  return pausedMs + (lastPause !== null && lastPause.to === null ? now - Date.parse(lastPause.from) : 0)
}

/** It stands still, or somebody wants it to: no clock may end it meanwhile. */
export const isHeld = ({ status, pause }: Pick<RunState, 'status' | 'pause'>) =>
  status === 'PAUSED' || pause?.paused === true

export type RequestPause = { type: 'RequestPause' | 'RequestResume'; reason: string | null }

/** Why a live run can be neither paused nor resumed: its end has begun. */
export const isEnding = ({ kill, rootExit }: RunState) => kill !== null || rootExit !== null

/** None where that is wanted already; to resume a run that nobody paused is to want what is. */
export function pauseEvents({ type, reason }: RequestPause, state: RunState): RunEventBody[] {
  const wanted = state.pause?.paused ?? false
  if (type === 'RequestPause') return wanted ? [] : [{ type: 'PauseRequested', data: { reason } }]
  return wanted ? [{ type: 'ResumeRequested', data: { reason } }] : []
}

export function wished(
  state: RunState,
  wish: Pick<PauseWish, 'paused' | 'reason' | 'revision'>,
  { actor, occurredAt, correlationId, eventId }: EventMetadata,
): RunState {
  const pause = { ...wish, requestedBy: actor, requestedAt: occurredAt }
  return { ...state, pause, cause: { correlationId, eventId } }
}

/** What is being killed stays so, standing still or not. */
export const stoodStill = (state: RunState, at: string): RunState => ({
  ...state,
  status: instead(state.status, 'RUNNING', 'PAUSED'),
  lastPause: { from: at, to: null },
})

export const wentOn = (state: RunState, at: string): RunState => ({
  ...pauseOver(state, at),
  status: instead(state.status, 'PAUSED', 'RUNNING'),
})

const instead = (status: RunStatus, from: RunStatus, to: RunStatus) => (status === from ? to : status)

/** Its clocks once it stands still no more, because it goes on or has ended. */
export function pauseOver(state: RunState, at: string): RunState {
  if (state.lastPause === null || state.lastPause.to !== null) return state
  return { ...state, pausedMs: pausedMsAt(state, Date.parse(at)), lastPause: { from: state.lastPause.from, to: at } }
}

/**
 * What of a gap in the sampling was no pause, in milliseconds: nothing is taken off a run's age twice.
 * @param gapMs negative where the clock was set back: during a pause that is in the length of the pause already.
 * @param at when the gap was over
 */
export function gapWithoutPause({ lastPause }: Pick<Pausing, 'lastPause'>, gapMs: number, at: string): number {
  if (lastPause === null) return gapMs
  if (gapMs < 0) return lastPause.to === null ? 0 : gapMs
  const end = Date.parse(at)
  const from = Math.max(end - gapMs, Date.parse(lastPause.from))
  const to = lastPause.to === null ? end : Math.min(end, Date.parse(lastPause.to))
  return gapMs - Math.max(0, to - from)
}
