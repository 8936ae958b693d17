import { dirname } from 'node:path'
import { type FilesOptions, list } from './files.ts'

/** Names as bytes, one Latin-1 character each, below the workspace: `./…`. */
export type Found = {
  /** Directories that have a `.git`, or are a repository themselves (bare ones). `.` may be one. */
  repositories: string[]
  /** The workspace's own `.git` is a directory: a worktree's is a file. */
  hasOwnGit: boolean
  /** No file, directory or link. */
  special: string[]
}

/** 200,000 files took 0.2 s of CPU time. */
const timeoutMs = 60_000
const listBytesMax = 4 * 1024 * 1024
const repositoriesMax = 1_000

const wanted = [
  ...['(', '-name', '.git', '-prune', '-o', '-name', 'HEAD', '-o', '-type', 'd', '-name', 'objects', '-o'],
  ...['-type', 'd', '-name', 'refs', '-o', '!', '-type', 'f', '!', '-type', 'd', '!', '-type', 'l', ')'],
  ...['-printf', '%y %p\\0'],
]

/**
 * Looks through a workspace for what git does not tell of: repositories, also below what .gitignore names, and pipes
 * and the like. As the run's account, following no link, not into the repositories' own directories.
 * @returns undefined: there was more than can be looked through
 */
export async function searchWorkspace(options: FilesOptions): Promise<Found | undefined> {
  const argv = ['find', '-P', '.', '-mindepth', '1', ...wanted]
  const listed = await list(argv, { ...options, outputBytesMax: listBytesMax, timeoutMs })
  options.signal.throwIfAborted()
  if (listed.status !== 0) return undefined
  const entries = listed.stdout
    .toString('latin1')
    .split('\0')
    .filter(Boolean)
    .map((line) => ({ type: line[0] ?? '', name: line.slice(2) }))
  const repositories = [...new Set([...withGit(entries), ...bare(entries)])]
  if (repositories.length > repositoriesMax) return undefined
  const hasOwnGit = entries.some(({ type, name }) => type === 'd' && name === './.git')
  return { repositories, hasOwnGit, special: entries.filter(({ type }) => !/[fdl]/.test(type)).map(({ name }) => name) }
}

type Entries = readonly { type: string; name: string }[]

const withGit = (entries: Entries) =>
  entries.filter(({ name }) => name.endsWith('/.git')).map(({ name }) => dirname(name))

function bare(entries: Entries): string[] {
  const names = new Set(entries.map(({ name }) => name))
  const has = (directory: string, name: string) => names.has(`${directory}/${name}`)
  return entries
    .filter(({ name }) => name.endsWith('/HEAD'))
    .map(({ name }) => dirname(name))
    .filter((directory) => has(directory, 'objects') && has(directory, 'refs'))
}
