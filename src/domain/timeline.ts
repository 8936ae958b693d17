import { canFollow } from './can-follow.ts'
import { evolve } from './evolve.ts'
import type { RecordedRunEvent } from './run-events.ts'
import { isTerminal, type RunState } from './run-state.ts'

export const phaseKinds = [
  'WAITING',
  'WORKING',
  'PAUSED',
  'KILL_REQUESTED',
  'DEFERRED',
  'TERMINATING',
  'KILLING',
  'VERIFYING',
  'CLEANING',
] as const
export type PhaseKind = (typeof phaseKinds)[number]

/** A stretch of a run's life. Times are ISO 8601 UTC. */
export type RunPhase = {
  kind: PhaseKind
  /** Of WORKING: the phase that the run reported, `initialization` first; else null. */
  name: string | null
  from: string
  /** null: it is not over. */
  to: string | null
}

/**
 * How long what took in a run's life, in the order in which it began, from its lifecycle events.
 *
 * Two tracks: what the run did (WAITING, then each phase of its work until its root process ended), and how it came to
 * its end (the kill or the leftovers of a natural end, the proof, the cleanup). They overlap while a run that is being
 * killed still works. Events that changed nothing, such as late facts, make no phase.
 */
export function phasesOf(events: readonly RecordedRunEvent[]): RunPhase[] {
  const tracks = { work: newTrack(), end: newTrack() }
  let state: RunState | undefined
  for (const event of events) {
    const before = state
    state = evolve(before, event)
    if (state === undefined) continue
    if (before === undefined) tracks.work.begin('WAITING', state.requestedAt)
    else if (canFollow(event, before)) advance(tracks, event, before, state)
  }
  return [...tracks.work.phases, ...tracks.end.phases].toSorted((a, b) => Date.parse(a.from) - Date.parse(b.from))
}

type Track = ReturnType<typeof newTrack>

/** One thing after the other; the last one may still go on. */
function newTrack() {
  const phases: RunPhase[] = []
  const last = () => phases.at(-1)
  const end = (to: string) => {
    const open = last()
    if (open?.to === null) open.to = later(open.from, to)
  }
  return {
    phases,
    current: () => (last()?.to === null ? last() : undefined),
    end,
    begin(kind: PhaseKind, from: string, name: string | null = null) {
      end(from)
      phases.push({ kind, name, from, to: null })
    },
  }
}

/** Clocks differ, and facts come late: nothing ends before it began. */
const later = (a: string, b: string) => (Date.parse(a) > Date.parse(b) ? a : b)

function advance(
  { work, end }: { work: Track; end: Track },
  event: RecordedRunEvent,
  before: RunState,
  state: RunState,
) {
  const at = event.metadata.occurredAt
  switch (event.type) {
    case 'RunStarted':
      // A registered process began before anybody asked for its supervision.
      work.end(state.registered === null ? event.data.startedAt : at)
      return work.begin('WORKING', event.data.startedAt, state.phase)
    case 'PhaseChanged':
      // Before the start there is nothing that works; after the exit neither.
      if (state.phase !== before.phase && work.current()?.kind === 'WORKING') work.begin('WORKING', at, state.phase)
      return
    case 'RunPaused':
      if (work.current()?.kind === 'WORKING') work.begin('PAUSED', at)
      return
    case 'RunResumed':
      if (work.current()?.kind === 'PAUSED') work.begin('WORKING', at, state.phase)
      return
    case 'KillRequested':
      return end.begin('KILL_REQUESTED', at)
    case 'KillDeferred':
      if (state.killPhase === 'DEFERRED' && before.killPhase !== 'DEFERRED') end.begin('DEFERRED', at)
      return
    case 'SigtermSent':
      return end.begin('TERMINATING', at)
    case 'SigkillSent':
      return end.begin('KILLING', at)
    case 'ProcessExited':
      work.end(event.data.at)
      // What it left behind may live on: that is looked for.
      if (end.current() === undefined) end.begin('VERIFYING', event.data.at)
      return
    case 'KillUnverified':
      return end.begin('VERIFYING', at)
    case 'RunCleaned':
      return end.end(at)
    default:
      if (isTerminal(state.status) && !isTerminal(before.status)) over({ work, end }, at, state)
  }
}

function over({ work, end }: { work: Track; end: Track }, at: string, { receipt }: RunState): void {
  const emptyAt = receipt?.timings.emptyAt
  const signalling = end.current()
  if (emptyAt !== undefined && signalling !== undefined && signalling.kind !== 'VERIFYING') {
    end.begin('VERIFYING', later(signalling.from, emptyAt))
  }
  work.end(at)
  end.begin('CLEANING', at)
}
