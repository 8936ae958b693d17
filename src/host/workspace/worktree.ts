import { lstatSync, readFileSync, rmSync } from 'node:fs'
import { realpath } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { RunId } from '../../domain/ids.ts'
import type { Workspace } from '../../domain/workspace.ts'
import type { Account } from '../accounts.ts'
import { type RunPaths, readJson, writeAtomically } from '../run-directory.ts'
import { awaitAnswer } from './answering.ts'
import { ProgramMissing } from './command.ts'
import { type Git, gitIn, gitOn } from './git.ts'
import { removeTree } from './remove.ts'

export type WorktreeFailure = { code: 'REPOSITORY_UNUSABLE' | 'BRANCH_UNUSABLE' | 'GIT_MISSING'; message: string }

/** What was made for a run, kept in its directory: intent before, fact after. */
export type WorktreeRecord = {
  repository: string
  branch: string
  /** The repository's own directory, which all its worktrees share. */
  commonDirectory: string
  /** The commit that the run began with. */
  commit: string
  /** Nobody else has a branch of that name: it may go when nothing was committed to it. */
  ownBranch: boolean
  /** In the common directory; null: not made yet. */
  adminDirectory: string | null
  /** Every file is there: a run may have worked in it. */
  ready: boolean
}

export type WorktreeOptions = {
  runId: RunId
  workspace: Extract<Workspace, { kind: 'GIT_WORKTREE' }>
  paths: RunPaths
  /** Another than ours: the worktree, and what is written to the repository, is its. */
  account: Account | undefined
  signal: AbortSignal
  /** Of a run that has ended, and whose worktree is about to go: its branch will be free. */
  isBeingCleaned: (runId: RunId) => boolean
  /** Tests end the process here. */
  crashPoint: (name: string) => void
}

/** A checkout of a large repository takes its time. */
const checkoutTimeoutMs = 10 * 60_000
const branchWaitMs = 30_000
const branchPollMs = 100

export const readWorktree = (paths: RunPaths) => readJson<WorktreeRecord>(paths.worktree)

/**
 * Makes the worktree, and its branch where that is missing. Called again, also after a crash between any two of its
 * steps, it leaves a worktree that is finished as it is, and makes an unfinished one anew: no run has worked in that.
 * Nothing that the repository configures is executed: no hook, and no filter (such as Git LFS) at the checkout.
 */
export async function makeWorktree(options: WorktreeOptions): Promise<WorktreeFailure | undefined> {
  const { paths, workspace, account, signal } = options
  try {
    const before = await readWorktree(paths)
    if (before?.ready === true) return undefined
    if (before !== undefined) await undo(before, options)
    const git = gitIn(workspace.repository, account, signal)
    const planned = await plan(git, options)
    if ('code' in planned) return planned
    await writeAtomically(paths.worktree, JSON.stringify(planned))
    options.crashPoint('after worktree record')
    const refused = await add(git, planned, options)
    if (refused !== undefined) return refused
    options.crashPoint('after worktree add')
    return await checkOut(planned, options)
  } catch (error) {
    if (error instanceof ProgramMissing) return { code: 'GIT_MISSING', message: `${error.message} Install git.` }
    throw error
  }
}

/** Takes an unfinished worktree away. The branch stays: it is used again. */
async function undo(record: WorktreeRecord, { paths, account, signal }: WorktreeOptions): Promise<void> {
  await removeTree(paths.workspace, paths.workspaceTrash, signal)
  await forgetWorktree(record, paths, account, signal)
}

async function plan(git: Git, { workspace, runId }: WorktreeOptions): Promise<WorktreeRecord | WorktreeFailure> {
  const { repository, branch = `runwarden/${runId}` } = workspace
  const common = await git(['rev-parse', '--path-format=absolute', '--git-common-dir'])
  if (common.status !== 0) {
    return unusable(`${repository} cannot be used as a git repository: ${reason(common.stderr)}`)
  }
  if ((await git(['check-ref-format', '--branch', branch])).status !== 0) {
    return { code: 'BRANCH_UNUSABLE', message: `"${branch}" is no name that git takes for a branch.` }
  }
  const commit = await firstCommit(git, [`refs/heads/${branch}`, `refs/remotes/origin/${branch}`, 'HEAD'])
  if (commit === undefined) return unusable(`${repository} has no commit yet, so there is nothing to check out.`)
  return {
    ...{ repository, branch, commit, commonDirectory: common.stdout.toString().trimEnd() },
    ...{ ownBranch: workspace.branch === undefined, adminDirectory: null, ready: false },
  }
}

const unusable = (message: string): WorktreeFailure => ({ code: 'REPOSITORY_UNUSABLE', message })

async function firstCommit(git: Git, names: string[]): Promise<string | undefined> {
  for (const name of names) {
    const found = await git(['rev-parse', '--verify', '--quiet', '--end-of-options', `${name}^{commit}`])
    if (found.status === 0) return found.stdout.toString().trim()
  }
  return undefined
}

/** Of git's many words those that say why. */
const reason = (stderr: string) =>
  (stderr.split('\n').find((line) => line.startsWith('fatal: ')) ?? stderr).replace(/^fatal: /, '').slice(0, 1000) ||
  'git does not say why'

async function add(git: Git, record: WorktreeRecord, options: WorktreeOptions): Promise<WorktreeFailure | undefined> {
  const { paths, signal, isBeingCleaned } = options
  const until = Date.now() + branchWaitMs
  for (let held = true; ; ) {
    const exists = (await firstCommit(git, [`refs/heads/${record.branch}`])) !== undefined
    const branch = exists ? [paths.workspace, record.branch] : ['-b', record.branch, paths.workspace, record.commit]
    const added = await git(['worktree', 'add', '--no-checkout', ...branch])
    if (added.status === 0) return undefined
    const holder = await holderOf(git, record.branch)
    const run = holder === undefined ? undefined : await runOf(holder, paths)
    if (run !== undefined && isBeingCleaned(run) && Date.now() < until && !signal.aborted) {
      await delay(branchPollMs)
      continue
    }
    // Given back between the two questions, perhaps: asked once more.
    if (holder === undefined && held) {
      held = false
      continue
    }
    if (holder === undefined) return { code: 'BRANCH_UNUSABLE', message: cannotAdd(record, reason(added.stderr)) }
    const where = run === undefined ? holder : `${holder}, the workspace of ${run}`
    return { code: 'BRANCH_UNUSABLE', message: cannotAdd(record, `it is checked out in ${where}; name another branch`) }
  }
}

const cannotAdd = ({ branch, repository }: WorktreeRecord, why: string) =>
  `No worktree of ${repository} can be made on the branch "${branch}": ${why}`

/** The worktree that has this branch checked out. */
async function holderOf(git: Git, branch: string): Promise<string | undefined> {
  const { stdout } = await git(['worktree', 'list', '--porcelain', '-z'])
  for (const entry of stdout.toString().split('\0\0')) {
    const lines = entry.split('\0')
    if (lines.includes(`branch refs/heads/${branch}`)) return lines[0]?.replace(/^worktree /, '')
  }
  return undefined
}

async function runOf(worktree: string, { workspace }: RunPaths): Promise<RunId | undefined> {
  const workspaces = await realpath(dirname(workspace))
  return dirname(worktree) === workspaces || dirname(worktree) === dirname(workspace) ? basename(worktree) : undefined
}

async function checkOut(
  record: WorktreeRecord,
  { paths, account, signal, crashPoint }: WorktreeOptions,
): Promise<WorktreeFailure | undefined> {
  const { commonDirectory, branch } = record
  const adminDirectory = adminDirectoryOf(paths.workspace)
  const commit =
    (await firstCommit(gitIn(record.repository, account, signal), [`refs/heads/${branch}`])) ?? record.commit
  const isSha256 = commit.length === 64
  const files = {
    head: commit,
    isSha256,
    commonDirectory,
    index: join(adminDirectory, 'index'),
    workTree: paths.workspace,
  }
  const git = gitOn(paths.git, files, account, signal)
  const filled = await git(['read-tree', '-m', '-u', commit], { timeoutMs: checkoutTimeoutMs })
  rmSync(paths.git, { recursive: true, force: true })
  if (filled.status !== 0)
    return unusable(`${branch} of ${record.repository} cannot be checked out: ${reason(filled.stderr)}`)
  crashPoint('after worktree checkout')
  await writeAtomically(paths.worktree, JSON.stringify({ ...record, commit, adminDirectory, ready: true }))
  return undefined
}

/** Right after git made it, and before anybody else could write there. */
const adminDirectoryOf = (worktree: string) =>
  readFileSync(join(worktree, '.git'), 'utf8')
    .trimEnd()
    .replace(/^gitdir: /, '')

/**
 * Takes the worktree, whose directory is gone, off the repository's list, and its branch with it where that is the
 * run's own and nothing was committed to it. Only this one: others whose directories are away just now are not ours.
 * @returns what was done, for people
 * @throws when git does not do it
 */
export async function forgetWorktree(
  record: WorktreeRecord,
  paths: RunPaths,
  account: Account | undefined,
  signal?: AbortSignal,
): Promise<string> {
  await awaitAnswer(record.commonDirectory, { account, signal })
  if (!isDirectory(record.commonDirectory)) return 'the repository is gone, and its list of worktrees with it'
  const git = gitIn(record.repository, account, signal)
  if (await isListed(git, paths.workspace)) {
    // git asks where the directory was; it must be able to look there.
    const removed = await git(['worktree', 'remove', '--force', '--force', paths.workspace])
    if (removed.status !== 0) throw new Error(`git worktree remove: ${reason(removed.stderr)}`)
  }
  if (!record.ownBranch || !record.ready) return 'the worktree is off the list of the repository'
  const deleted = await git(['update-ref', '-d', `refs/heads/${record.branch}`, record.commit])
  return deleted.status === 0
    ? 'the worktree is off the list of the repository; its branch, to which nothing was committed, was removed'
    : `the worktree is off the list of the repository; the branch ${record.branch} keeps its commits`
}

async function isListed(git: Git, worktree: string): Promise<boolean> {
  const { stdout, status, stderr } = await git(['worktree', 'list', '--porcelain', '-z'])
  if (status !== 0) throw new Error(`git worktree list: ${reason(stderr)}`)
  const real = join(await realpath(dirname(worktree)), basename(worktree))
  const lines = stdout.toString().split('\0')
  return lines.includes(`worktree ${worktree}`) || lines.includes(`worktree ${real}`)
}

function isDirectory(path: string): boolean {
  try {
    return lstatSync(path).isDirectory()
  } catch {
    // Gone, or out of our reach: either way nothing of it can be mended from here.
    return false
  }
}
