import { uptime } from 'node:os'
import type { FactBody } from '../domain/host-link.ts'
import type { RunEventData } from '../domain/run-events.ts'
import type { Clock } from './clock.ts'
import type { FactLog } from './fact-log.ts'

/** Clocks that nobody sets. In milliseconds, each from a beginning of its own. */
export type SteadyClocks = {
  /** Stands still while the machine sleeps. */
  awakeMs(): number
  /** Goes on while the machine sleeps. */
  sinceBootMs(): number
}

export const steadyClocks: SteadyClocks = {
  awakeMs: () => performance.now(),
  sinceBootMs: () => uptime() * 1000,
}

/** What all runs of a host share of it. */
export type Looking = {
  clock: Clock
  steady: SteadyClocks
  /** How often a run is looked at, as a rule. */
  intervalMs: number
  /** When a host agent of this directory last looked at its runs, before this one began. Milliseconds since the epoch. */
  before: number | undefined
}

type Interruption = RunEventData<'SamplingInterrupted'>
/** By each of the three clocks, in milliseconds. */
export type Moment = { wall: number; awake: number; sinceBoot: number }

/** Asking how long the machine has been up reads a file: those who look at many runs at once ask once. */
export const momentOf = ({ clock, steady }: Looking): Moment => ({
  wall: clock().getTime(),
  awake: steady.awakeMs(),
  sinceBoot: steady.sinceBootMs(),
})

/** Below this a busy machine was late, and nothing else. */
const shortestGapMs = 5_000

/**
 * When a run was last looked at; it tells when that was too long ago. What passed meanwhile is no age: somebody may
 * have made a turn that nobody has read yet (invariant 9).
 */
export class Looks {
  readonly #facts: FactLog
  readonly #looking: Looking
  /** By the wall clock, of the agent before this one. */
  readonly #lastOfBefore: number | undefined
  /** By the wall clock, when this agent took the run up. */
  readonly #since: number
  #last: Moment | undefined

  /** Made before this agent emits anything about the run. */
  constructor(facts: FactLog, looking: Looking) {
    this.#facts = facts
    this.#looking = looking
    this.#since = looking.clock().getTime()
    const lastFact = facts.lastOccurredAt
    // Whoever emitted that fact was there, so a gap that was told once is not told again after a crash.
    if (lastFact !== undefined) this.#lastOfBefore = Math.max(Date.parse(lastFact), looking.before ?? 0)
  }

  /**
   * Called at the beginning of each look, before anything of what is seen is emitted: emits the gap, if there is one.
   * A crash right before that makes the gap longer, a crash right after it changes nothing: nobody gets old by it.
   * @returns undefined: there is none, and nothing to wait for
   */
  begin(now: Moment = momentOf(this.#looking)): Promise<void> | undefined {
    const gap = this.#last === undefined ? this.#sinceBefore(now.wall) : this.#sinceLast(this.#last, now)
    if (gap === undefined && this.#last === undefined && !this.#facts.has('RunStarted')) return
    if (gap !== undefined && Math.abs(gap.gapMs) > Math.max(2 * this.#looking.intervalMs, shortestGapMs))
      return this.#tell(gap, now)
    this.#last = now
  }

  async #tell(gap: Interruption, now: Moment): Promise<void> {
    const body: FactBody = { type: 'SamplingInterrupted', data: { ...gap, gapMs: Math.round(gap.gapMs) } }
    await this.#facts.emit([body], undefined, new Date(now.wall).toISOString())
    this.#last = now
  }

  /** The first look of this agent. Its age must be what it was at the last look of the agent before. */
  #sinceBefore(wall: number): Interruption | undefined {
    const from = this.#lastOfBefore ?? this.#start()
    if (from === undefined || !this.#facts.has('RunStarted')) return undefined
    const gapMs = wall - from
    if (gapMs < 0) return { gapMs, cause: 'clock-set' }
    return { gapMs, cause: this.#since - from > wall - this.#since ? 'agent-down' : 'suspended' }
  }

  /** When its age began. Of a launch that an agent did not live to tell of, that is earlier than the fact. */
  #start(): number | undefined {
    const started = this.#facts.latest('RunStarted')
    const at = started?.shim === null ? this.#facts.occurredAt('RunStarted') : started?.startedAt
    return at === undefined ? undefined : Date.parse(at)
  }

  /** Its age may have grown by one interval since, however far the wall clock has come. */
  #sinceLast(last: Moment, now: Moment): Interruption {
    const awake = now.awake - last.awake
    const asleep = now.sinceBoot - last.sinceBoot - awake
    const set = now.wall - last.wall - awake - asleep
    return {
      gapMs: now.wall - last.wall - Math.min(awake, this.#looking.intervalMs),
      cause: Math.abs(set) > Math.max(awake - this.#looking.intervalMs, asleep) ? 'clock-set' : 'suspended',
    }
  }
}
