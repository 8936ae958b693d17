import type { DesiredKill, EmergencyKill, EmergencyKillOutcome, RunEnd } from '../domain/host-link.ts'
import { FactLog, type FactLogOptions } from './fact-log.ts'
import type { LadderLog } from './ladder-log.ts'

type Parts = { facts: FactLog; ladder: LadderLog; proofDeadlineMs: number; onKill: () => void }

/**
 * Kills of one run that its host was asked for itself. The fact is journalled first, then the wish that the ladder
 * follows; after a crash between the two the fact alone is enough.
 */
export class Emergency {
  readonly #parts: Parts
  #requests: Promise<unknown> = Promise.resolve()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** What was asked for before a crash is wanted still. */
  async resume(): Promise<void> {
    const { facts, ladder } = this.#parts
    const asked = facts.latest('EmergencyKillRequested')
    const requestedAt = facts.occurredAt('EmergencyKillRequested')
    if (asked === undefined || requestedAt === undefined || isOver(facts)) return
    await ladder.want(killAt(requestedAt, asked.proofDeadlineMs))
  }

  /** Resolves once the kill is journalled. Requests take turns, so that two at once are one kill. */
  request(kill: EmergencyKill): Promise<EmergencyKillOutcome> {
    const done = this.#requests.then(() => this.#request(kill))
    this.#requests = done.catch(() => {})
    return done
  }

  async #request({ runId: _, requestedAt, ...asked }: EmergencyKill): Promise<EmergencyKillOutcome> {
    const { facts, ladder, proofDeadlineMs, onKill } = this.#parts
    if (isOver(facts)) return 'over'
    if (ladder.kill?.kind === 'emergency' && doubtAbout(ladder.kill, facts) === undefined) return 'joined'
    await facts.emit([{ type: 'EmergencyKillRequested', data: { ...asked, proofDeadlineMs } }], undefined, requestedAt)
    await ladder.want(killAt(requestedAt, proofDeadlineMs))
    onKill()
    return 'accepted'
  }

  get end(): RunEnd {
    return endOf(this.#parts.facts, this.#parts.ladder.kill)
  }
}

/** Of a run that nobody opens any more, because nothing is left to do for it. */
export async function endOnDisk(options: FactLogOptions): Promise<RunEnd> {
  const facts = await FactLog.open(options)
  try {
    return endOf(facts, null)
  } finally {
    await facts.close()
  }
}

/** Whether a wait for this end is over. What could not be proven ends it too: whoever waits must hear of it at once. */
export const hasEnded = ({ over, receipt, cleanup }: RunEnd, cleaned: boolean) =>
  receipt?.proven === false || (cleaned ? cleanup === 'DONE' || cleanup === 'FAILED' : over)

const isOver = (facts: FactLog) => facts.has('TreeGone') || facts.has('LaunchFailed')

const killAt = (requestedAt: string, proofDeadlineMs: number): DesiredKill => ({
  kind: 'emergency',
  requestedAt,
  graceMs: 0,
  proofDeadlineMs,
})

/** The receipt of a kill whose deadline has passed; one that is asked for anew after that has no doubt about it yet. */
function doubtAbout({ requestedAt }: DesiredKill, facts: FactLog) {
  const told = facts.occurredAt('TreeNotProven')
  return told === undefined || told < requestedAt ? undefined : facts.latest('TreeNotProven')?.receipt
}

function endOf(facts: FactLog, kill: DesiredKill | null): RunEnd {
  const over = isOver(facts)
  const doubt = kill === null || over ? undefined : doubtAbout(kill, facts)
  const cleaned = facts.latest('RunCleaned')
  return {
    over,
    receipt: facts.latest('TreeGone')?.receipt ?? doubt ?? null,
    cleanup: cleaned === undefined ? (over ? 'RUNNING' : 'NONE') : cleaned.failedSteps.length === 0 ? 'DONE' : 'FAILED',
  }
}
