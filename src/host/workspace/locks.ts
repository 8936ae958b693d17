import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { Account } from '../accounts.ts'
import { type Answering, awaitAnswer } from './answering.ts'
import { command, failureOf } from './command.ts'
import { lockHolders } from './lock-holders.ts'
import { occupantText } from './occupants.ts'

export type LockOptions = {
  /** Git directories whose locks may be the run's: its worktree's, and the one that all worktrees share. */
  directories: readonly string[]
  account: Account | undefined
  /** The run's life, in milliseconds since the epoch: a lock from before or after it is somebody else's. */
  from: number
  to: number
  signal: AbortSignal
}

const timeoutMs = 60_000
/** File systems keep coarser times than clocks do. */
const slackMs = 2_000
const outputBytesMax = 4 * 1024 * 1024

/**
 * Removes git's lock files that died with the run. One that a live process may hold stays, and is an error: any git
 * process at work on the repository counts, since a lock does not say whose it is.
 * @returns what was done, for people
 */
export async function removeStaleLocks(options: LockOptions): Promise<string> {
  const removed: string[] = []
  await Promise.all(options.directories.map((directory) => awaitAnswer(directory, options)))
  for (const directory of options.directories.filter(isDirectory)) {
    const stale = await locksOf(directory, options)
    if (stale.length === 0) continue
    const holders = await lockHolders(options.directories, options.directories.flatMap(worktreesOf))
    if (holders.length > 0) {
      throw new Error(`${join(directory, stale[0] ?? '')} may be held: git works there, as ${occupantText(holders)}`)
    }
    await remove(directory, stale, options)
    removed.push(...stale.map((name) => join(directory, Buffer.from(name, 'latin1').toString())))
  }
  return removed.length === 0 ? 'git had left no lock' : `stale locks of git were removed: ${removed.join(', ')}`
}

/** Of the directory itself, and at any depth of its refs. Names in Latin-1: one character per byte. */
async function locksOf(directory: string, { account, from, to, signal }: LockOptions): Promise<string[]> {
  const at = (ms: number) => `@${(ms / 1000).toFixed(3)}`
  const argv = [
    ...['find', '-P', '.', '-type', 'd', '!', '-path', '.', '!', '-path', './refs', '!', '-path', './refs/*', '-prune'],
    ...['-o', '-name', '*.lock', '-type', 'f', '-newermt', at(from - slackMs), '!', '-newermt', at(to + slackMs)],
    '-print0',
  ]
  const found = await command({ argv, account, directory, outputBytesMax, timeoutMs, signal })
  if (found.status !== 0) throw failureOf('find', found)
  return found.stdout.toString('latin1').split('\0').filter(Boolean)
}

async function remove(directory: string, names: string[], { account, signal }: LockOptions): Promise<void> {
  const input = Buffer.from(names.map((name) => `${name}\0`).join(''), 'latin1')
  const argv = ['xargs', '-0', '-r', 'rm', '-f', '--']
  const removed = await command({ argv, account, directory, input, outputBytesMax: 0, timeoutMs, signal })
  if (removed.status !== 0) throw failureOf('rm', removed)
}

function worktreesOf(directory: string): string[] {
  try {
    return readdirSync(join(directory, 'worktrees')).flatMap((name) => {
      const path = readSmall(join(directory, 'worktrees', name, 'gitdir'))
      return path === undefined ? [] : dirname(path.trimEnd())
    })
  } catch {
    // It has none, or they are not ours to read.
    return []
  }
}

/**
 * {@link gitDirectoriesOf} for a directory on any file system.
 * @throws when that does not answer
 */
export async function findGitDirectories(workspace: string, where: Answering): Promise<string[]> {
  await awaitAnswer(workspace, where)
  return gitDirectoriesOf(workspace)
}

/**
 * The git directories of a directory that the run did not make: of the repository that it is in. A link is not
 * followed, and a worktree's pointer only where the repository points back: it may lead anywhere.
 */
export function gitDirectoriesOf(workspace: string): string[] {
  for (let directory = workspace; ; directory = dirname(directory)) {
    const found = gitDirectoriesAt(directory)
    if (found !== undefined) return found
    if (directory === dirname(directory)) return []
  }
}

function gitDirectoriesAt(directory: string): string[] | undefined {
  const entry = join(directory, '.git')
  try {
    const stat = lstatSync(entry)
    if (stat.isDirectory()) return [entry]
    if (!stat.isFile()) return stat.isSymbolicLink() ? [] : undefined
    const pointer = /^gitdir: (.+)$/m.exec(readSmall(entry) ?? '')?.[1]
    const admin = pointer === undefined ? undefined : resolve(directory, pointer)
    if (admin === undefined || readSmall(join(admin, 'gitdir'))?.trimEnd() !== entry) return []
    const common = readSmall(join(admin, 'commondir'))?.trimEnd()
    return common === undefined ? [admin] : [admin, resolve(admin, common)]
  } catch {
    // Nothing there, or not ours to read.
    return undefined
  }
}

const smallBytes = 8 * 1024

function readSmall(path: string): string | undefined {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  return stat?.isFile() && stat.size <= smallBytes ? readFileSync(path, 'utf8') : undefined
}

const isDirectory = (path: string) => lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true
