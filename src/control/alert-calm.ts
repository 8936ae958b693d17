import type { RunAlertKind } from '../domain/alert-events.ts'
import { isTerminal, type RunState } from '../domain/run-state.ts'

/** A phase may come back, so an alert about one is over only once it has stayed away for so long. */
const calmMs = 60_000

export type AlertCalm = {
  /** Whether an open alert that is not due any more is over. @param now milliseconds since the epoch */
  isOver(run: RunState, kind: RunAlertKind, now: number): boolean
  /** It is due. */
  isDue(run: RunState, kind: RunAlertKind): void
}

/** Keeps a run that goes back and forth from flooding people: seen with one alert per second from a flapping phase. */
export function createAlertCalm(): AlertCalm {
  const quietSince = new Map<string, number>()
  const keyOf = ({ runId }: RunState, kind: RunAlertKind) => `${runId} ${kind}`
  return {
    isDue: (run, kind) => void quietSince.delete(keyOf(run, kind)),
    isOver(run, kind, now) {
      const key = keyOf(run, kind)
      const since = quietSince.get(key) ?? now
      const over = !mayComeBack(run, kind) || now - since >= calmMs
      if (over) quietSince.delete(key)
      else quietSince.set(key, since)
      return over
    },
  }
}

/** Without a turn only the phase says that a run is past its beginning. */
const mayComeBack = ({ status, turns }: RunState, kind: RunAlertKind) =>
  !isTerminal(status) && turns === 0 && (kind === 'STUCK' || kind === 'INITIALIZATION_WARNING')
