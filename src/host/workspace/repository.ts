import { lstatSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { LeftOut } from '../../domain/salvage.ts'
import type { Account } from '../accounts.ts'
import type { RunPaths } from '../run-directory.ts'
import { type CommandResult, command, failureOf } from './command.ts'
import { shown } from './files.ts'
import { type Git, gitOn } from './git.ts'
import { gitDirectoriesOf } from './locks.ts'
import { makeScratch, marksOf, unmark } from './unmarked-index.ts'
import type { WorktreeRecord } from './worktree.ts'

export type RepositoryOptions = {
  paths: RunPaths
  workspace: string
  account: Account | undefined
  /** Where patches are written. */
  bundle: string
  /** Of each patch. */
  maxBytes: number
  signal: AbortSignal
}

/** What of a work tree git can tell. */
export type RepositorySalvage = {
  head: string | null
  patchBytes: number
  /** Files below the workspace that git does not track, as bytes; directories of other repositories among them. */
  untracked: string[]
  ignored: LeftOut[]
  keep: string | null
}

type Places = { adminDirectory: string; commonDirectory: string; isSha256: boolean }

/** Git knows it without any object. */
const emptyTree = '4b825dc642cb6eb9a060e54bf8d69288fbee4904'
const headBytesMax = 1_000

/**
 * The changes to what git tracks, as patches that `git apply` takes, and what it does not track.
 * @returns undefined: it is no work tree that git can read, so all of it is but files
 * @throws when the changes do not fit, or a patch cannot be written
 */
export async function salvageRepository(
  options: RepositoryOptions,
  record: WorktreeRecord | undefined,
): Promise<RepositorySalvage | undefined> {
  const places = placesOf(options.workspace, record)
  if (places === undefined) return undefined
  const { paths, account, signal, workspace } = options
  const said = await readHead(places.adminDirectory, account, signal)
  if (said === undefined) return undefined
  const onIndex = (index: string) =>
    gitOn(paths.git, { ...places, head: said, index, workTree: workspace }, account, signal)
  const own = join(paths.scratch, 'index')
  makeScratch(paths.scratch, account)
  try {
    const git = await wholeIndex(join(places.adminDirectory, 'index'), own, onIndex, options)
    const whole = git && (await look(git, options, places))
    if (whole !== undefined) return whole
    // An index that cannot be read, such as one that a kill has cut off: made anew from the commit.
    rmSync(own, { force: true })
    const anew = onIndex(own)
    const read = await anew(['read-tree', 'HEAD'])
    return read.status === 0 ? await look(anew, options, places) : undefined
  } finally {
    for (const path of [paths.git, paths.scratch]) rmSync(path, { recursive: true, force: true })
  }
}

/** An index that hides no file from git: the repository's, or where that does, a copy. */
async function wholeIndex(
  from: string,
  to: string,
  onIndex: (index: string) => Git,
  { account, signal }: RepositoryOptions,
): Promise<Git | undefined> {
  const asItIs = onIndex(from)
  const marks = await marksOf(asItIs)
  if (marks === undefined || marks.assumed.length + marks.skipped.length === 0) return marks && asItIs
  const git = onIndex(to)
  return (await unmark(marks, git, { from, to, account, signal })) ? git : undefined
}

function placesOf(workspace: string, record: WorktreeRecord | undefined): Places | undefined {
  if (record?.adminDirectory != null) {
    const { adminDirectory, commonDirectory, commit } = record
    return { adminDirectory, commonDirectory, isSha256: commit.length === 64 }
  }
  if (lstatSync(join(workspace, '.git'), { throwIfNoEntry: false }) === undefined) return undefined
  const [adminDirectory, commonDirectory = adminDirectory] = gitDirectoriesOf(workspace)
  if (adminDirectory === undefined || commonDirectory === undefined) return undefined
  return { adminDirectory, commonDirectory, isSha256: false }
}

/** As the run's account, and only if it reads like one. */
async function readHead(directory: string, account: Account | undefined, signal: AbortSignal) {
  const argv = ['head', '-c', String(headBytesMax), '--', 'HEAD']
  const read = await command({ argv, account, directory, outputBytesMax: headBytesMax, timeoutMs: 10_000, signal })
  const said = read.stdout.toString('utf8').trimEnd()
  return read.status === 0 && /^(ref: refs\/[^\s]+|[0-9a-f]{40}|[0-9a-f]{64})$/.test(said) ? said : undefined
}

/** @returns undefined: git cannot read it */
async function look(git: Git, options: RepositoryOptions, places: Places): Promise<RepositorySalvage | undefined> {
  const found = await git(['rev-parse', '--verify', '--quiet', 'HEAD^{commit}'])
  const head = found.status === 0 ? found.stdout.toString().trim() : null
  const base = head ?? emptyTree
  const patchBytes = await patch(git, 'changes.patch', [base], options)
  if (patchBytes === undefined) return undefined
  if ((await patch(git, 'staged.patch', ['--cached', base], options)) === undefined) return undefined
  const others = ['ls-files', '--others', '--exclude-standard', '-z']
  const untracked = await git(others)
  const ignored = await git([...others, '--ignored', '--directory', '--no-empty-directory'])
  const tracked = await git(['ls-files', '--stage', '-z'])
  if ([untracked, ignored, tracked].some(({ status }) => status !== 0)) return undefined
  const submodules = namesOf(tracked).flatMap((line) => /^160000 [^\t]*\t(.*)$/s.exec(line)?.[1] ?? [])
  const populated = submodules.filter(
    (name) => !isEmpty(join(options.workspace, Buffer.from(name, 'latin1').toString())),
  )
  const hasModules = !isEmpty(join(places.adminDirectory, 'modules'))
  return {
    ...{ head, patchBytes, untracked: [...namesOf(untracked), ...populated] },
    ignored: namesOf(ignored).map((name) => ({ path: shown(name), bytes: null, reason: 'IGNORED' })),
    keep: hasModules ? 'it has submodules, whose commits may be nowhere else' : null,
  }
}

const namesOf = ({ stdout }: CommandResult) => stdout.toString('latin1').split('\0').filter(Boolean)

/** Binary files too, whole; submodules are directories of their own. */
const patchOptions = [
  ...['--binary', '--full-index', '--no-color', '--no-ext-diff', '--no-textconv', '--no-renames'],
  ...['--ignore-submodules=all', '--src-prefix=a/', '--dst-prefix=b/'],
]

/** @returns its size; undefined: git cannot make it @throws when it is too large */
async function patch(git: Git, name: string, what: string[], { bundle, maxBytes }: RepositoryOptions) {
  const toFile = join(bundle, name)
  rmSync(toFile, { force: true })
  const made = await git(['diff', ...patchOptions, ...what], { toFile, outputBytesMax: maxBytes })
  if (made.ended === 'TOO_MUCH_OUTPUT') {
    throw new Error(`The changes to tracked files are larger than ${maxBytes} bytes (RUNWARDEN_SALVAGE_MAX_BYTES).`)
  }
  if (made.ended === 'ABORTED') throw failureOf('git diff', made)
  if (made.status !== 0 || made.outputBytes === 0) rmSync(toFile, { force: true })
  return made.status === 0 ? made.outputBytes : undefined
}

function isEmpty(directory: string): boolean {
  try {
    return readdirSync(directory).length === 0
  } catch {
    // Not there, or no directory.
    return true
  }
}
