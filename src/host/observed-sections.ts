import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { OpenSection } from '../domain/critical-section.ts'
import { identityOf, type ProcessStat } from '../os/process-identity.ts'
import { gitWriter, isGit } from './git-command.ts'
import { type GitLock, locksIn, repositoryOf } from './git-locks.ts'
import { ageMs } from './process-table.ts'

export type LiveProcess = Pick<ProcessStat, 'pid' | 'ppid' | 'startTime'>

type GitProcess = LiveProcess & { writes: string | undefined; startedAt: number }

/** A process's start is known to a clock tick. */
const tickMs = 10

/** A workspace can lie on a file system that does not answer: a kill waits no longer for it than this. */
const searchMaxMs = 1_000

/**
 * What the processes of a run are in the middle of, as far as it can be seen from outside.
 * @returns `unanswered`: no git is at work, and the workspace could not be read in time
 */
export async function observeSections(
  processes: readonly LiveProcess[],
  workspacePath: string | null,
  now: number,
): Promise<OpenSection[] | 'unanswered'> {
  const gits = processes.flatMap((process) => gitOf(process, now))
  const writing = gits.filter(({ writes }) => writes !== undefined)
  const pids = new Set(writing.map(({ pid }) => pid))
  // `git push` has others work for it: the one that was asked is named.
  const asked = writing.filter(({ ppid }) => !pids.has(ppid))
  const sections = asked.map(({ writes, pid, startedAt }) => section(`git ${writes}, pid ${pid}`, startedAt))
  // Whoever holds a lock of a repository most often is one of these.
  if (sections.length > 0) return sections
  const late = new AbortController()
  const limit = delay(searchMaxMs, 'unanswered' as const, late).catch(() => 'unanswered' as const)
  return Promise.race([locksHeld(processes, gits, workspacePath), limit]).finally(() => late.abort())
}

const section = (detail: string, since: number): OpenSection => ({
  ...{ kind: 'git_operations', source: 'OBSERVED', detail: detail.slice(-200) },
  since: new Date(since).toISOString(),
})

function gitOf(process: LiveProcess, now: number): GitProcess[] {
  const argv = read(() => readFileSync(`/proc/${process.pid}/cmdline`, 'utf8'))?.split('\0') ?? []
  if (!isGit(argv)) return []
  return [{ ...process, writes: gitWriter(argv), startedAt: now - ageMs(identityOf(process)) }]
}

/** A lock file alone says nothing: that of a dead process stays behind. A live one of this run must hold it. */
async function locksHeld(
  processes: readonly LiveProcess[],
  gits: readonly GitProcess[],
  workspacePath: string | null,
): Promise<OpenSection[]> {
  const users = new Map<string, GitProcess[]>()
  if (workspacePath !== null) await addUser(users, workspacePath)
  for (const git of gits) {
    const directory = read(() => readlinkSync(`/proc/${git.pid}/cwd`))
    if (directory !== undefined) await addUser(users, directory, git)
  }
  const sections: OpenSection[] = []
  let open: Map<string, number> | undefined
  for (const [repository, inIt] of users) {
    for (const lock of await locksIn(repository)) {
      open ??= openFiles(processes)
      const holder = open.get(lock.path) ?? holderOf(lock, inIt)
      if (holder !== undefined) sections.push(section(`${lock.path}, pid ${holder}`, lock.at))
    }
  }
  return sections
}

async function addUser(users: Map<string, GitProcess[]>, directory: string, git?: GitProcess): Promise<void> {
  const repository = await repositoryOf(directory)
  if (repository === undefined) return
  const known = users.get(repository) ?? []
  users.set(repository, git === undefined ? known : [...known, git])
}

/** Git closes a lock file that it has written, and holds it on: it was made while that git lived. */
const holderOf = (lock: GitLock, gits: readonly GitProcess[]) =>
  gits.find(({ startedAt }) => startedAt <= lock.at + tickMs)?.pid

/** Who has which file open, by its path. */
function openFiles(processes: readonly LiveProcess[]): Map<string, number> {
  const files = new Map<string, number>()
  for (const { pid } of processes) {
    for (const fd of read(() => readdirSync(`/proc/${pid}/fd`)) ?? []) {
      const path = read(() => readlinkSync(`/proc/${pid}/fd/${fd}`))
      if (path?.endsWith('.lock')) files.set(path, pid)
    }
  }
  return files
}

/** A process that went meanwhile, or that is another account's, shows nothing. */
function read<Result>(from: () => Result): Result | undefined {
  try {
    return from()
  } catch {
    return undefined
  }
}
