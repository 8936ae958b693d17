import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import type { OpenSection } from '../domain/critical-section.ts'
import { identityOf, type ProcessStat } from '../os/process-identity.ts'
import { gitWriter } from './git-command.ts'
import { ageMs } from './process-table.ts'

export type LiveProcess = Pick<ProcessStat, 'pid' | 'ppid' | 'startTime'>

/** So many open files are looked at, in all. */
const filesMax = 5_000

/**
 * What the processes of a run are in the middle of, as far as it can be seen from outside. Only `/proc` is read: what
 * the workspace holds is the run's own, may be anything, and can lie on a file system that does not answer.
 */
export function observeSections(processes: readonly LiveProcess[], now: number): OpenSection[] {
  const writers = new Map(processes.flatMap((process) => writerOf(process)))
  const asked = processes.filter(({ pid, ppid }) => writers.has(pid) && !writers.has(ppid))
  // `git push` has others work for it: the one that was asked is named.
  const sections = asked.map((process) => section(`git ${writers.get(process.pid)}, pid ${process.pid}`, process, now))
  // Whoever holds a lock of a repository most often is one of these.
  return sections.length > 0 ? sections : locksHeld(processes, now)
}

const section = (detail: string, process: LiveProcess, now: number): OpenSection => ({
  ...{ kind: 'git_operations', source: 'OBSERVED', detail: detail.slice(-200) },
  since: new Date(now - ageMs(identityOf(process))).toISOString(),
})

function writerOf({ pid }: LiveProcess): [pid: number, command: string][] {
  const argv = read(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8'))?.split('\0') ?? []
  const command = gitWriter(argv)
  return command === undefined ? [] : [[pid, command]]
}

const lockOfRepository = /\.git\/(?:.*\/)?[^/]+\.lock$/

/** Of the index, a ref, a linked work tree. The file alone says nothing, since that of a dead process stays behind. */
function locksHeld(processes: readonly LiveProcess[], now: number): OpenSection[] {
  const held = new Map<string, LiveProcess>()
  let left = filesMax
  for (const process of processes) {
    for (const fd of (read(() => readdirSync(`/proc/${process.pid}/fd`)) ?? []).slice(0, left)) {
      left -= 1
      const path = read(() => readlinkSync(`/proc/${process.pid}/fd/${fd}`)) ?? ''
      if (lockOfRepository.test(path) && !held.has(path)) held.set(path, process)
    }
  }
  return [...held].map(([path, process]) => section(`${path}, pid ${process.pid}`, process, now))
}

/** A process that went meanwhile, or that is another account's, shows nothing. */
function read<Result>(from: () => Result): Result | undefined {
  try {
    return from()
  } catch {
    return undefined
  }
}
