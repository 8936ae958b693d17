import { lstat, readdir, readFile, realpath } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'

/** A lock file of a repository, and when it was last written, in milliseconds since the epoch. */
export type GitLock = { path: string; at: number }

/** Bounds of a search in a place that belongs to the run, which may be anything. */
const [levelsMax, directoriesMax, pointerBytesMax] = [40, 2_000, 4_096]

/** The directory with a repository's refs, of the work tree or repository that this directory is in. */
export async function repositoryOf(directory: string): Promise<string | undefined> {
  let at = directory
  for (let level = 0; level < levelsMax; level += 1) {
    const own = await gitDirectoryAt(join(at, '.git'))
    if (own !== undefined) return commonOf(own)
    const above = dirname(at)
    if (above === at) return undefined
    at = above
  }
  return undefined
}

/** A work tree has a directory, or a file that says where that is. */
async function gitDirectoryAt(path: string): Promise<string | undefined> {
  const stat = await unlessMissing(lstat(path))
  if (stat?.isDirectory()) return unlessMissing(realpath(path))
  if (!stat?.isFile() || stat.size > pointerBytesMax) return undefined
  const pointer = /^gitdir: (.+)/.exec((await unlessMissing(readFile(path, 'utf8'))) ?? '')?.[1]
  return pointer === undefined ? undefined : unlessMissing(realpath(resolve(dirname(path), pointer.trim())))
}

/** A linked work tree keeps its index apart, and its refs in the repository that it came from. */
async function commonOf(gitDirectory: string): Promise<string> {
  const path = join(gitDirectory, 'commondir')
  const stat = await unlessMissing(lstat(path))
  if (!stat?.isFile() || stat.size > pointerBytesMax) return gitDirectory
  const common = (await unlessMissing(readFile(path, 'utf8')))?.trim()
  if (common === undefined) return gitDirectory
  return (await unlessMissing(realpath(resolve(gitDirectory, common)))) ?? gitDirectory
}

/** `index.lock` and its like: at the top, among the refs, and of the linked work trees. No link is followed. */
export async function locksIn(repository: string): Promise<GitLock[]> {
  const locks: GitLock[] = []
  const pending: { path: string; deep: boolean }[] = [
    { path: repository, deep: false },
    { path: join(repository, 'objects/info'), deep: false },
    { path: join(repository, 'worktrees'), deep: true },
    { path: join(repository, 'refs'), deep: true },
  ]
  for (let read = 0; read < directoriesMax; read += 1) {
    const next = pending.shift()
    if (next === undefined) return locks
    for (const entry of (await unlessMissing(readdir(next.path, { withFileTypes: true }))) ?? []) {
      const path = join(next.path, entry.name)
      if (entry.isDirectory() && next.deep) pending.push({ path, deep: true })
      if (!entry.isFile() || !entry.name.endsWith('.lock')) continue
      const stat = await unlessMissing(lstat(path))
      if (stat !== undefined) locks.push({ path, at: stat.mtimeMs })
    }
  }
  return locks
}

/** A run's own directories: what is not there, is something else or may not be read, holds no lock that we can see. */
async function unlessMissing<Result>(read: Promise<Result>): Promise<Result | undefined> {
  try {
    return await read
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== undefined && ['ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP', 'ENAMETOOLONG'].includes(code)) return undefined
    throw error
  }
}
