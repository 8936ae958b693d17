import { rename, rm, stat } from 'node:fs/promises'
import type { DesiredRun } from '../domain/host-link.ts'
import { isGone } from '../os/process-identity.ts'
import type { Bell } from './bell.ts'
import type { Cgroup } from './cgroup.ts'
import type { Log } from './clock.ts'
import type { FactLog } from './fact-log.ts'
import type { RunPaths } from './run-directory.ts'

export type CleanupRun = {
  work: DesiredRun['work']
  paths: RunPaths
  cgroup: Cgroup | null
  facts: FactLog
  /** Steps that were done before this host came back. */
  doneSteps: ReadonlySet<string>
  bell: Bell
  log: Log
  signal: AbortSignal
  crashPoint: (name: string) => void
}

type Step = { step: string; run: (run: CleanupRun) => Promise<string> }

const attemptsMax = 6
const [retryMs, retryMaxMs] = [50, 2_000]

/** In this order; doing a step again changes nothing. Each resolves to what it did, for people. */
const steps: Step[] = [
  { step: 'processes', run: removeCgroup },
  { step: 'temporary-files', run: removeTemporaryFiles },
  { step: 'workspace', run: async ({ work }) => workspaceDetail(work) },
]

/** Cleans up after a run whose tree is gone. A step that fails is retried; one that keeps failing is named at the end. */
export async function cleanUp(run: CleanupRun): Promise<void> {
  const failedSteps: string[] = []
  for (const step of steps) {
    if (run.doneSteps.has(step.step)) continue
    if (!(await completes(step, run))) failedSteps.push(step.step)
    if (run.signal.aborted) return
  }
  await run.facts.emit([{ type: 'RunCleaned', data: { failedSteps } }])
}

async function completes({ step, run: act }: Step, run: CleanupRun): Promise<boolean> {
  for (let attempt = 1; !run.signal.aborted; attempt += 1) {
    try {
      run.crashPoint(`before cleanup ${step}`)
      const detail = (await act(run)).slice(0, 1000)
      run.crashPoint(`after cleanup ${step}`)
      await run.facts.emit([{ type: 'CleanupStepCompleted', data: { step, detail } }])
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

/** Moved first to where no account but ours can go, so that nobody swaps a directory for a link meanwhile. */
async function removeTemporaryFiles({ paths }: CleanupRun): Promise<string> {
  const wasThere = await stat(paths.temporary).then(
    () => true,
    (error) => {
      if (isGone(error)) return false
      throw error
    },
  )
  if (wasThere) {
    await rm(paths.trash, { recursive: true, force: true })
    await rename(paths.temporary, paths.trash)
  }
  await rm(paths.trash, { recursive: true, force: true })
  return wasThere ? 'the run’s TMPDIR was removed' : 'there were none'
}

function workspaceDetail(work: DesiredRun['work']): string {
  if (work.kind === 'supervise') return 'kept: it belongs to whoever started the process'
  return work.launch.workspace.kind === 'TEMPORARY'
    ? 'kept until salvage exists'
    : 'kept: an EXISTING workspace is never removed'
}
