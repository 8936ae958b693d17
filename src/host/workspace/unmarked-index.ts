import { chownSync, mkdirSync, rmSync } from 'node:fs'
import type { Account } from '../accounts.ts'
import { command } from './command.ts'
import type { Git } from './git.ts'

/** Names of files, one Latin-1 character per byte, that git takes for unchanged without looking at them. */
export type Marks = { assumed: string[]; skipped: string[] }

const timeoutMs = 60_000

/** @returns undefined: git cannot read the index */
export async function marksOf(git: Git): Promise<Marks | undefined> {
  const listed = await git(['ls-files', '-v', '-z'])
  if (listed.status !== 0) return undefined
  const marks: Marks = { assumed: [], skipped: [] }
  for (const line of listed.stdout.toString('latin1').split('\0')) {
    const [mark = '', name] = [line[0], line.slice(2)]
    if (mark >= 'a' && mark <= 'z') marks.assumed.push(name)
    if (mark.toUpperCase() === 'S') marks.skipped.push(name)
  }
  return marks
}

/**
 * Copies an index, and takes the marks away there (`--assume-unchanged`, `--skip-worktree`): a file may have been
 * edited all the same. What is to be skipped and is not there stays marked, as a sparse checkout leaves it out.
 * @param git on the copy
 * @returns whether that could be done
 */
export async function unmark(
  { assumed, skipped }: Marks,
  git: Git,
  { from, to, account, signal }: { from: string; to: string; account: Account | undefined; signal: AbortSignal },
): Promise<boolean> {
  // With its time: git looks into files that were changed later than their index was written.
  const argv = ['cp', '--preserve=timestamps', '--', from, to]
  const copied = await command({ argv, account, outputBytesMax: 0, timeoutMs, signal })
  if (copied.status !== 0) return false
  const mark = async (option: string, names: readonly string[]) => {
    const input = Buffer.from(names.map((name) => `${name}\0`).join(''), 'latin1')
    return names.length === 0 || (await git(['update-index', option, '-z', '--stdin'], { input })).status === 0
  }
  if (!(await mark('--no-assume-unchanged', assumed)) || !(await mark('--no-skip-worktree', skipped))) return false
  const deleted = await git(['ls-files', '--deleted', '-z'])
  const absent = new Set(deleted.stdout.toString('latin1').split('\0'))
  return (
    deleted.status === 0 &&
    (await mark(
      '--skip-worktree',
      skipped.filter((name) => absent.has(name)),
    ))
  )
}

/** A new directory in which the account may write. */
export function makeScratch(path: string, account: Account | undefined): void {
  rmSync(path, { recursive: true, force: true })
  mkdirSync(path, { mode: 0o700 })
  if (account !== undefined) chownSync(path, account.uid, account.gid)
}
