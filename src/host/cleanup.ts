import { constants } from 'node:fs'
import { type FileHandle, open, readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { DesiredRun, FactBody } from '../domain/host-link.ts'
import { isGone } from '../os/process-identity.ts'
import type { Bell } from './bell.ts'
import type { Cgroup } from './cgroup.ts'
import type { Log } from './clock.ts'
import type { FactLog } from './fact-log.ts'
import type { RunPaths } from './run-directory.ts'
import {
  isOurs,
  isWorktree,
  mayHaveLocks,
  removeLocks,
  removeWorkspace,
  removeWorktree,
  salvage,
} from './workspace/cleanup.ts'
import { refuseMounts, removeTree } from './workspace/remove.ts'

export type CleanupRun = {
  work: DesiredRun['work']
  paths: RunPaths
  cgroup: Cgroup | null
  facts: FactLog
  /** Of what is kept of the workspace. */
  salvageMaxBytes: number
  /** Steps that were done before this host came back. */
  doneSteps: ReadonlySet<string>
  bell: Bell
  log: Log
  signal: AbortSignal
  crashPoint: (name: string) => void
}

/** What a step did, for people; and facts that belong to it. */
type Done = string | { detail: string; facts: FactBody[] }
type Step = { step: string; applies?: (run: CleanupRun) => boolean; run: (run: CleanupRun) => Promise<Done> }

const attemptsMax = 6
const [retryMs, retryMaxMs] = [50, 2_000]

/** In this order; doing a step again changes nothing. */
const steps: Step[] = [
  { step: 'processes', run: removeCgroup },
  { step: 'git-locks', applies: mayHaveLocks, run: removeLocks },
  { step: 'salvage', applies: isOurs, run: salvage },
  { step: 'temporary-files', run: removeTemporaryFiles },
  { step: 'workspace', run: removeWorkspace },
  { step: 'git-worktree', applies: isWorktree, run: removeWorktree },
]

/** Cleans up after a run whose tree is gone. A step that fails is retried; one that keeps failing is named at the end. */
export async function cleanUp(run: CleanupRun): Promise<void> {
  const failedSteps: string[] = []
  for (const step of steps) {
    if (run.doneSteps.has(step.step) || step.applies?.(run) === false) continue
    if (!(await completes(step, run))) failedSteps.push(step.step)
    if (run.signal.aborted) return
  }
  await run.facts.emit([{ type: 'RunCleaned', data: { failedSteps } }])
}

async function completes({ step, run: act }: Step, run: CleanupRun): Promise<boolean> {
  for (let attempt = 1; !run.signal.aborted; attempt += 1) {
    try {
      run.crashPoint(`before cleanup ${step}`)
      const done = await act(run)
      run.crashPoint(`after cleanup ${step}`)
      const { detail, facts } = typeof done === 'string' ? { detail: done, facts: [] } : done
      await run.facts.emit([...facts, { type: 'CleanupStepCompleted', data: { step, detail: detail.slice(0, 1000) } }])
      return true
    } catch (error) {
      const willRetry = attempt < attemptsMax
      // The first failure and the last one are facts; those in between would only repeat the first.
      if (attempt === 1 || !willRetry) {
        const data = { step, error: (error as Error).message.slice(0, 1000), attempt, willRetry }
        await run.facts.emit([{ type: 'CleanupStepFailed', data }])
      }
      run.log.warn({ err: error, step, attempt }, 'a cleanup step failed')
      if (!willRetry) return false
      await run.bell.wait(Math.min(retryMs * 2 ** attempt, retryMaxMs), run.signal)
    }
  }
  return false
}

async function removeCgroup({ cgroup, bell, signal }: CleanupRun): Promise<string> {
  if (cgroup === null) return 'no process is left; the run had no cgroup'
  for (let attempt = 1; ; attempt += 1) {
    try {
      cgroup.remove()
      return 'no process is left; the cgroup was removed'
    } catch (error) {
      // The kernel lets go of a cgroup a moment after its last process died.
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || attempt === 100 || signal.aborted) throw error
      await bell.wait(5, signal)
    }
  }
}

/**
 * TMPDIR, and what else the run put beside it, such as sockets; its progress file stays. Reached through the directory
 * itself: its name may have become a link meanwhile.
 */
async function removeTemporaryFiles({ paths, signal }: CleanupRun): Promise<string> {
  // Of an attempt that a crash cut off.
  await removeTree(paths.trash, paths.trash, signal)
  refuseMounts(paths.io)
  const directory = await openDirectory(paths.io)
  if (directory === undefined) return 'there were none'
  try {
    const inside = `/proc/self/fd/${directory.fd}`
    const names = (await readdir(inside)).filter((name) => name !== basename(paths.progress))
    for (const name of names) await removeTree(join(inside, name), paths.trash, signal)
    return names.length === 0 ? 'there were none' : 'the run’s TMPDIR was removed'
  } finally {
    await directory.close()
  }
}

/** undefined: there is no directory, only a link or nothing. */
async function openDirectory(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (isGone(error) || code === 'ENOTDIR' || code === 'ELOOP') return undefined
    throw error
  }
}
