import { createReadStream, createWriteStream, rmSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Account } from '../accounts.ts'
import type { RunPaths } from '../run-directory.ts'
import { type CommandResult, command, failureOf } from './command.ts'
import { type Git, gitOn } from './git.ts'
import type { WorktreeRecord } from './worktree.ts'

export type CommitsOptions = {
  paths: RunPaths
  account: Account | undefined
  /** Where `commits.bundle` is written. */
  bundle: string
  /** Of that file, but for its first lines. */
  maxBytes: number
  signal: AbortSignal
}

/** `foundIn`: files of the worktree's own directory in the repository, such as `HEAD` or `rebase-merge/autostash`. */
export type KeptCommit = { id: string; foundIn: string[] }

/** `keep`: why the worktree must stay; null: nothing of this stands against its removal. */
export type KeptCommits = { commits: KeptCommit[]; keep: string | null }

type Place = { id: string; place: string }
type Unreached = { commits: KeptCommit[]; tips: string[]; boundary: string[] }

const timeoutMs = 5 * 60_000
const listBytesMax = 64 * 1024 * 1024

/** The main worktree's own, which come and go with what is done there. */
const ownRefs = ['refs/bisect/*', 'refs/rewritten/*', 'refs/worktree/*']

/**
 * Keeps the commits that are named only where the worktree has its own place in the repository, which goes with it: by
 * a detached HEAD, by a rebase or merge that stopped, by its reflog, by refs of its own. They become a git bundle, whose
 * refs are `refs/salvage/<commit id>`, and which needs of the repository what its refs reach. Nothing is written there.
 */
export async function keepCommits(record: WorktreeRecord, options: CommitsOptions): Promise<KeptCommits> {
  const { paths, account, signal } = options
  const { adminDirectory, commonDirectory, commit } = record
  if (adminDirectory === null) return { commits: [], keep: null }
  const isSha256 = commit.length === 64
  // No file of the workspace is looked at, so there need not be any.
  const objects = { head: commit, isSha256, commonDirectory, index: join(paths.git, 'index'), workTree: adminDirectory }
  try {
    const places = await commitsNamed(record, adminDirectory, options)
    if (places.length === 0) return { commits: [], keep: null }
    const git = gitOn(paths.git, objects, account, signal)
    const unreached = await notReached(places, git)
    if (unreached.commits.length === 0) return { commits: [], keep: null }
    if (await write(unreached, git, isSha256, options)) return { commits: unreached.commits, keep: null }
    return { commits: [], keep: 'commits that only its worktree names did not fit (RUNWARDEN_SALVAGE_MAX_BYTES)' }
  } catch (error) {
    if (signal.aborted || !(error instanceof CommitsUnreadable)) throw error
    return { commits: [], keep: `commits that only its worktree names could not be kept: ${error.message}` }
  } finally {
    rmSync(paths.git, { recursive: true, force: true })
  }
}

/** Git or the files do not give it. */
class CommitsUnreadable extends Error {
  override readonly name = 'CommitsUnreadable'
}

function refuse(name: string, result: CommandResult): never {
  throw new CommitsUnreadable(failureOf(name, result).message)
}

/** Whatever looks like a full object id: git has many such files, and every version adds some. */
async function commitsNamed(record: WorktreeRecord, adminDirectory: string, options: CommitsOptions) {
  const { branch, commonDirectory, commit } = record
  const places: Place[] = []
  const from = [
    { path: adminDirectory, base: adminDirectory },
    // A branch of the run's own may go, and its reflog with it.
    { path: join(commonDirectory, 'logs/refs/heads', branch), base: commonDirectory },
  ]
  for (const { path, base } of from) {
    const found = await command({
      argv: ['sh', '-c', search, 'sh', path, `[0-9a-f]{${commit.length}}`],
      ...{ account: options.account, outputBytesMax: listBytesMax, timeoutMs, signal: options.signal },
    })
    if (found.status !== 0) refuse('grep', found)
    places.push(...parsePlaces(found.stdout.toString('latin1'), base))
  }
  return places
}

/** No link is followed below the path, and no pipe is waited for. Submodules keep a worktree anyway. */
const search = `[ -e "$1" ] || exit 0
grep -rZHoawE -D skip --exclude=index --exclude-dir=modules -e "$2" -- "$1"; status=$?
[ $status -le 1 ]`

function parsePlaces(found: string, base: string): Place[] {
  const below = Buffer.from(`${base}/`).toString('latin1').length
  return [...found.matchAll(/([^\0]+)\0([0-9a-f]+)\n/g)].map(([, path = '', id = '']) => ({
    id,
    place: Buffer.from(path.slice(below), 'latin1').toString().slice(0, 500),
  }))
}

async function notReached(places: readonly Place[], git: Git): Promise<Unreached> {
  const ids = [...new Set(places.map(({ id }) => id))]
  const named = await commitsOf(ids, git)
  const excluded = ownRefs.map((pattern) => `--exclude=${pattern}`)
  const walk = ['rev-list', '--ignore-missing', '--parents', '--boundary', '--stdin', '--not', ...excluded]
  const input = lines([...new Set(named.values())])
  const walked = await git([...walk, '--glob=refs/*'], { input, timeoutMs })
  if (walked.status !== 0) refuse('git rev-list', walked)
  const said = walked.stdout.toString().split('\n').filter(Boolean)
  const boundary = said.flatMap((line) => /^-([0-9a-f]+)/.exec(line)?.[1] ?? [])
  const unreached = said.filter((line) => !line.startsWith('-')).map((line) => line.split(' '))
  const reached = new Set(unreached.flatMap(([, ...parents]) => parents))
  const foundIn = new Map<string, Set<string>>(unreached.map(([id = '']) => [id, new Set()]))
  for (const { id, place } of places) foundIn.get(named.get(id) ?? '')?.add(place)
  const commits = [...foundIn].flatMap(([id, found]) => (found.size === 0 ? [] : { id, foundIn: [...found] }))
  return { commits, tips: commits.map(({ id }) => id).filter((id) => !reached.has(id)), boundary }
}

/** By what names them: an id of a commit, or of a tag of one. */
async function commitsOf(ids: readonly string[], git: Git): Promise<Map<string, string>> {
  const checked = await git(['cat-file', '--batch-check'], {
    input: lines(ids.map((id) => `${id}^{commit}`)),
    timeoutMs,
  })
  if (checked.status !== 0) refuse('git cat-file', checked)
  const answers = checked.stdout.toString().split('\n')
  return new Map(
    ids.flatMap((id, index) => {
      const commit = /^([0-9a-f]+) commit /.exec(answers[index] ?? '')?.[1]
      return commit === undefined ? [] : [[id, commit] as const]
    }),
  )
}

const lines = (each: readonly string[]) => Buffer.from(each.map((line) => `${line}\n`).join(''))

/** @returns false: it does not fit */
async function write({ tips, boundary }: Unreached, git: Git, isSha256: boolean, options: CommitsOptions) {
  const pack = join(options.bundle, 'commits.pack')
  const made = await git(['pack-objects', '--revs', '--stdout', '--delta-base-offset', '-q'], {
    ...{ input: lines([...tips, '--not', ...boundary]), toFile: pack, outputBytesMax: options.maxBytes, timeoutMs },
  })
  if (made.ended === 'TOO_MUCH_OUTPUT' || made.status !== 0) rmSync(pack, { force: true })
  if (made.ended === 'TOO_MUCH_OUTPUT') return false
  if (made.status !== 0) refuse('git pack-objects', made)
  const format = isSha256 ? ['# v3 git bundle', '@object-format=sha256'] : ['# v2 git bundle']
  const head = [...format, ...boundary.map((id) => `-${id} `), ...tips.map((id) => `${id} refs/salvage/${id}`), '']
  const file = createWriteStream(join(options.bundle, 'commits.bundle'), { flags: 'wx', mode: 0o600, flush: true })
  file.write(lines(head))
  await pipeline(createReadStream(pack), file)
  rmSync(pack)
  return true
}
