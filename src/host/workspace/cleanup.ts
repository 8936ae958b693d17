import { realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { FactBody } from '../../domain/host-link.ts'
import type { CleanupRun } from '../cleanup.ts'
import { accountOf } from './account.ts'
import { findGitDirectories, removeStaleLocks } from './locks.ts'
import { salvageOf } from './manifest.ts'
import { occupantsOf, occupantText } from './occupants.ts'
import { isThere, removeTree } from './remove.ts'
import { salvageWorkspace } from './salvage.ts'
import { forgetWorktree, readWorktree } from './worktree.ts'

/** Made by us for the run: salvaged, and removed then. */
export const isOurs = ({ work }: CleanupRun) => work.kind === 'launch' && work.launch.workspace.kind !== 'EXISTING'

export const isWorktree = ({ work }: CleanupRun) =>
  work.kind === 'launch' && work.launch.workspace.kind === 'GIT_WORKTREE'

/** A repository that outlives the run, and a life in which the run may have left a lock there. */
export const mayHaveLocks = (run: CleanupRun) =>
  (isWorktree(run) || existingPath(run) !== null) && run.facts.has('RunStarted')

const existingPath = ({ work }: CleanupRun): string | null => {
  if (work.kind === 'supervise') return work.workspacePath
  return work.launch.workspace.kind === 'EXISTING' ? work.launch.workspace.path : null
}

export async function removeLocks(run: CleanupRun): Promise<string> {
  const { facts, paths, signal } = run
  const existing = existingPath(run)
  const record = existing === null ? await readWorktree(paths) : undefined
  const directories =
    existing === null
      ? [record?.adminDirectory, record?.commonDirectory].filter((path) => path != null)
      : await findGitDirectories(existing, { account: accountOf(run.work), signal })
  if (directories.length === 0) return 'it worked in no git repository'
  const from = Date.parse(facts.latest('RunStarted')?.startedAt ?? '')
  const to = Date.parse(facts.occurredAt('TreeGone') ?? '')
  return removeStaleLocks({ directories, account: accountOf(run.work), from, to, signal })
}

export async function salvage(run: CleanupRun): Promise<string | { detail: string; facts: FactBody[] }> {
  const { paths, facts, salvageMaxBytes: maxBytes, signal } = run
  const runId = basename(paths.directory)
  const manifest = await salvageWorkspace({ runId, paths, account: accountOf(run.work), maxBytes, signal })
  if (manifest === undefined) return 'there was nothing to keep'
  const kept = salvageOf(manifest)
  const told: FactBody[] = facts.has('WorkspaceSalvaged') ? [] : [{ type: 'WorkspaceSalvaged', data: kept }]
  const count = manifest.commits.length
  const commits = count === 0 ? '' : `, with ${count} ${count === 1 ? 'commit' : 'commits'} that no ref reaches`
  return { detail: `what was in the workspace is kept in ${kept.path}${commits}`, facts: told }
}

/** Only what was salvaged, and what nobody works in. */
export async function removeWorkspace(run: CleanupRun): Promise<string> {
  const { work, paths, facts, signal } = run
  if (work.kind === 'supervise') return 'kept: it belongs to whoever started the process'
  if (!isOurs(run)) return 'kept: an EXISTING workspace is never removed'
  if (!run.doneSteps.has('salvage')) return 'kept: it could not be salvaged'
  const keep = facts.latest('WorkspaceSalvaged')?.keep ?? null
  if (keep !== null) return `kept: ${keep}`
  await refuseOccupied(paths.workspace)
  return (await removeTree(paths.workspace, paths.workspaceTrash, signal)) ? 'removed' : 'there was none'
}

/** Whoever works in it is none of the run's: those are dead. */
async function refuseOccupied(workspace: string): Promise<void> {
  if (!(await isThere(workspace))) return
  const occupants = await occupantsOf([workspace, join(realpathSync(dirname(workspace)), basename(workspace))])
  if (occupants.length > 0) {
    throw new Error(`Somebody works in ${workspace}, who is none of the run's: ${occupantText(occupants)}.`)
  }
}

export async function removeWorktree(run: CleanupRun): Promise<string> {
  const { paths, facts, signal } = run
  const record = await readWorktree(paths)
  if (record === undefined) return 'none was made'
  if (await isThere(paths.workspace)) return 'kept, as its directory was'
  // The run has removed its directory; commits that are nowhere else may be named here.
  if (!run.doneSteps.has('salvage')) return 'kept: it could not be salvaged'
  const keep = facts.latest('WorkspaceSalvaged')?.keep ?? null
  if (keep !== null) return `kept: ${keep}`
  return forgetWorktree(record, paths, accountOf(run.work), signal)
}
