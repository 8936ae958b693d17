import { type OpenSection, openSectionsMax } from '../domain/critical-section.ts'
import { readStat } from '../os/process-identity.ts'
import type { Cgroup } from './cgroup.ts'
import type { Clock, Log } from './clock.ts'
import type { FactLog } from './fact-log.ts'
import { type LiveProcess, observeSections } from './observed-sections.ts'
import { isAlive, type ProcessTable } from './process-table.ts'
import type { Telemetry } from './telemetry.ts'
import type { Tree } from './tree.ts'

export type SectionedRun = {
  tree: Tree
  cgroup: Cgroup | null
  telemetry: Pick<Telemetry, 'readProgress'>
  facts: FactLog
  readTable(): Promise<ProcessTable>
  clock: Clock
  log: Log
}

/** The critical sections that a run is in now: what it has declared, read to the end, and what is seen of it. */
export async function findOpenSections(run: SectionedRun): Promise<OpenSection[]> {
  await run.telemetry.readProgress()
  const observed = await observedSections(run)
  return [...run.facts.sections.open(), ...observed].slice(0, openSectionsMax)
}

/** Of whom it was said that they cannot be looked at: a kill that waits looks forty times a second. */
const unseen = new WeakSet<Tree>()

/** What cannot be seen is not waited for, and said once. */
async function observedSections(run: SectionedRun): Promise<OpenSection[]> {
  const { clock, log, tree } = run
  try {
    return observeSections(await liveProcesses(run), clock().getTime())
  } catch (error) {
    if (!unseen.has(tree))
      log.warn({ err: error, runId: tree.options.runId }, 'whether a run is in a critical section could not be seen')
    unseen.add(tree)
    return []
  }
}

/** The kernel's list where there is one: a whole process table takes longer than all the rest. */
async function liveProcesses({ tree, cgroup, readTable }: SectionedRun): Promise<LiveProcess[]> {
  if (cgroup !== null) return [...cgroup.pids()].flatMap((pid) => readStat(pid) ?? []).filter(isAlive)
  const members = tree.observe(await readTable())
  return [...members.values()].flatMap(({ entry }) => (entry.alive ? entry : []))
}
