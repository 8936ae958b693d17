import { deferredUntil, type OpenSection, sectionLimitsOf, sectionsText } from './critical-section.ts'
import { isTerminal, type RunState } from './run-state.ts'

/** R7: what a graceful kill of the run, asked for now, would wait for. Times are ISO 8601 UTC. */
export type SafeToKill = {
  /** Nothing would be waited for. */
  safe: boolean
  /** With how long a kill waits for each, at most. */
  sections: (OpenSection & { limitMs: number })[]
  /** At the latest; null: it would not wait. Of a kill that waits already: until when it does. */
  wouldDeferUntil: string | null
  /** For people. */
  message: string
}

/**
 * @param now milliseconds since the epoch
 * @param seen by the run's host just now; absent: only what the run had declared is known
 */
export function safeToKill(run: RunState, now: number, seen?: readonly OpenSection[]): SafeToKill {
  if (isTerminal(run.status)) return none(`The run has ended (${run.status}).`)
  const declared = run.sections.map(({ id: _, ...section }) => ({ ...section, source: 'DECLARED' as const }))
  const open = seen ?? declared
  const limits = run.kill?.sectionLimits ?? sectionLimitsOf(run.policy)
  const sections = open.map((section) => ({ ...section, limitMs: limits[section.kind] }))
  if (run.firstSignalAt !== null) return { ...none('It was signalled: no kill waits any more.'), sections }
  if (run.kill !== null && run.kill.kind !== 'graceful') {
    return { ...none(`A kill of kind ${run.kill.kind} is under way: it waits for nothing.`), sections }
  }
  const until = deferredUntil(open, limits, run.kill?.requestedAt ?? new Date(now).toISOString(), now)
  if (until === undefined) return { ...none(whyNot(open)), sections }
  const kill = run.kill === null ? 'A kill that is not forced would wait' : 'The kill waits'
  return {
    safe: false,
    sections,
    wouldDeferUntil: until,
    message: `${kill} for ${sectionsText(open)}, until ${until} at the latest.`,
  }
}

const none = (message: string): SafeToKill => ({ safe: true, sections: [], wouldDeferUntil: null, message })

const whyNot = (open: readonly OpenSection[]) =>
  open.length === 0 ? 'It is in no critical section.' : 'No kill waits for the sections that it is in any longer.'
