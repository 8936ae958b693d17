import { setTimeout as delay } from 'node:timers/promises'
import { deferredUntil, type OpenSection } from '../domain/critical-section.ts'
import type { DesiredKill } from '../domain/host-link.ts'
import type { Receipt, RootExit } from '../domain/receipt.ts'
import type { Bell } from './bell.ts'
import type { Cgroup } from './cgroup.ts'
import type { Clock, Log } from './clock.ts'
import { noteExit } from './exit-fact.ts'
import type { FactLog } from './fact-log.ts'
import type { LadderLog } from './ladder-log.ts'

export type DeferrableKill = {
  runId: string
  ladder: LadderLog
  facts: FactLog
  /** null: it has none. */
  cgroup: Cgroup | null
  openSections(): Promise<OpenSection[]>
  /** How the root ended, once that is known. */
  rootExit(): RootExit | undefined
  /** A run that was paused goes on, so that it can leave its sections, and act on SIGTERM. */
  letGoOn(): Promise<void>
  /** Rings when something changed: a stronger kill, an exit. */
  bell: Bell
  clock: Clock
  log: Log
  signal: AbortSignal
}

type Waiting = DesiredKill & { sectionLimits: NonNullable<DesiredKill['sectionLimits']> }

const [pollMs, pollMaxMs] = [25, 250]
/** A look takes longer on a machine with many processes; a moment without a section can be short. */
const restPerLook = 4
/** The kernel stops a tree within a few milliseconds, but for who waits in it. */
const stillMaxMs = 100

/**
 * R7: waits for a moment at which the run is in no critical section, before the first signal of a graceful kill. All
 * deadlines count from the request, so that neither a crash nor a new section begins them anew.
 * Resolves when the kill may go on: at such a moment, at the limit, when a stronger kill was asked for, or on abort.
 * After a wait the cgroup, where there is one, may be frozen: it is for the caller to thaw it.
 */
export async function deferKill(run: DeferrableKill): Promise<void> {
  const { ladder, signal, bell, clock } = run
  if (!mayDefer(ladder)) return
  await tell(run)
  await goOn(run)
  let endedBy: NonNullable<Receipt['deferral']>['endedBy'] = 'stronger-kill'
  for (let kill = waiting(ladder); kill !== undefined; kill = waiting(ladder)) {
    const begun = performance.now()
    let sections = await openSectionsOf(run)
    const pauseMs = Math.min(Math.max(pollMs, restPerLook * (performance.now() - begun)), pollMaxMs)
    // A root can end meanwhile, and what it began goes on without it.
    await noteExit(run)
    if (sections.length === 0) sections = await lookAgainStanding(run)
    if (signal.aborted) return goOn(run)
    const now = clock().getTime()
    const until = deferredUntil(sections, kill.sectionLimits, kill.requestedAt, now)
    if (until === undefined) {
      endedBy = sections.length > 0 ? 'limit' : 'safe-point'
      break
    }
    if (until > (ladder.step('deferring')?.until ?? '')) {
      const at = ladder.step('deferring')?.at ?? new Date(now).toISOString()
      await ladder.write({ step: 'deferring', at, until, sections })
      await tell(run)
    }
    await goOn(run)
    await bell.wait(Math.max(1, Math.min(pauseMs, Date.parse(until) - now)), signal)
  }
  if (ladder.step('deferring') === undefined) return
  await ladder.write({ step: 'undeferred', at: clock().toISOString(), endedBy })
  if (signal.aborted) await goOn(run)
}

/** Whoever stands still, for the last look or because of a pause, leaves no section. */
async function goOn({ ladder, cgroup, letGoOn }: DeferrableKill): Promise<void> {
  if (ladder.step('deferring') === undefined) return
  cgroup?.freeze(false)
  await letGoOn()
}

/** Where nobody can look, what was open stays so until its limit: a kill must not hang on it. */
async function openSectionsOf({ openSections, ladder, log, runId }: DeferrableKill): Promise<OpenSection[]> {
  try {
    return await openSections()
  } catch (error) {
    log.error({ err: error, runId }, 'whether a run is in a critical section cannot be seen')
    return ladder.step('deferring')?.sections ?? []
  }
}

/**
 * A run that goes from one section into the next would enter one between the look and the signal: after a wait it
 * stands still for both, where it has a cgroup.
 */
async function lookAgainStanding(run: DeferrableKill): Promise<OpenSection[]> {
  const { ladder, cgroup } = run
  if (ladder.step('deferring') === undefined || !cgroup?.freeze(true)) return []
  const late = performance.now() + stillMaxMs
  while (!cgroup.frozen() && cgroup.populated() && performance.now() < late) await delay(1)
  return openSectionsOf(run)
}

/** The ladder stands before its first signal, and has not waited to the end before. */
const mayDefer = (ladder: LadderLog) =>
  (waiting(ladder) !== undefined || ladder.step('deferring') !== undefined) &&
  (['undeferred', 'terminating', 'killing', 'proving'] as const).every((name) => ladder.step(name) === undefined)

/** undefined: what is wanted now does not wait. */
function waiting({ kill }: LadderLog): Waiting | undefined {
  if (kill === null || kill.kind !== 'graceful' || kill.sectionLimits === undefined) return undefined
  return { ...kill, sectionLimits: kill.sectionLimits }
}

/** Once for each deadline, also when a crash came between the step and its fact. */
async function tell({ ladder, facts, log, runId }: DeferrableKill): Promise<void> {
  const step = ladder.step('deferring')
  if (step === undefined || facts.latest('KillDeferred')?.until === step.until) return
  const { until, sections } = step
  log.info({ runId, until, sections: sections.length }, 'the kill waits for critical sections')
  await facts.emit([{ type: 'KillDeferred', data: { until, sections } }])
}

/** What a receipt says of the wait. */
export function deferralOf(ladder: LadderLog): {
  deferral?: NonNullable<Receipt['deferral']>
  timings: Pick<Receipt['timings'], 'deferredAt' | 'deferralEndedAt'>
} {
  const [deferring, over] = [ladder.step('deferring'), ladder.step('undeferred')]
  if (deferring === undefined || over === undefined) return { timings: {} }
  const { at, until, sections } = deferring
  return {
    deferral: { sections, until, endedBy: over.endedBy },
    timings: { deferredAt: at, deferralEndedAt: over.at },
  }
}
