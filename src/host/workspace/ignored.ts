import { lstatSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { FilesOptions } from './files.ts'
import { gitOn } from './git.ts'

/** Each costs a process of git. What the rest ignores counts as what nobody ignores. */
const repositoriesMax = 100

/**
 * What repositories inside a workspace ignore, each by its own .gitignore.
 * @param repositories as the search found them; what lies in one of them is judged by that one alone
 * @param gitDirectory made anew, and removed
 */
export async function ignoredInside(
  repositories: readonly string[],
  gitDirectory: string,
  options: FilesOptions,
): Promise<(name: string) => boolean> {
  const roots = new Set(repositories)
  const ignored = new Set<string>()
  for (const repository of repositories.slice(0, repositoriesMax)) {
    for (const name of await ignoredBy(repository, gitDirectory, options)) ignored.add(name)
  }
  return (name) => {
    for (let at = name; !roots.has(at) && at !== '.'; at = dirname(at)) if (ignored.has(at)) return true
    return false
  }
}

async function ignoredBy(repository: string, gitDirectory: string, { directory, account, signal }: FilesOptions) {
  const name = Buffer.from(repository, 'latin1')
  // A name that is no text cannot be handed on.
  if (!Buffer.from(name.toString()).equals(name)) return []
  const workTree = join(directory, name.toString())
  const commonDirectory = join(workTree, '.git')
  if (!lstatSync(commonDirectory, { throwIfNoEntry: false })?.isDirectory()) return []
  const files = { head: 'ref: refs/heads/main', isSha256: false, index: join(commonDirectory, 'index'), workTree }
  try {
    const git = gitOn(gitDirectory, { ...files, commonDirectory }, account, signal)
    const listed = await git(['ls-files', '--others', '--ignored', '--exclude-standard', '--directory', '-z'])
    const names = listed.status === 0 ? listed.stdout.toString('latin1').split('\0').filter(Boolean) : []
    return names.map((each) => `${repository}/${each.replace(/\/$/, '')}`)
  } finally {
    rmSync(gitDirectory, { recursive: true, force: true })
  }
}
