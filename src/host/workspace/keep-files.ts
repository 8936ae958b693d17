import { join } from 'node:path'
import { sizeText } from '../../domain/size.ts'
import { archive, type Chosen, choose, type FilesOptions, measure } from './files.ts'
import { ignoredInside } from './ignored.ts'
import { type RepositoryOptions, type RepositorySalvage, salvageRepository } from './repository.ts'
import { type Found, searchWorkspace } from './search.ts'
import type { WorktreeRecord } from './worktree.ts'

export type KeptFiles = {
  repository: RepositorySalvage | undefined
  chosen: Chosen
  /** What is nowhere else and could not be kept, for people: each a reason for the workspace to stay. */
  lost: string[]
}

/**
 * Patches and an archive of what is in a workspace.
 * @param record of a git worktree
 * @throws when it cannot be read, or changes to tracked files do not fit
 */
export async function keepFiles(
  options: Omit<RepositoryOptions, 'workspace'>,
  record: WorktreeRecord | undefined,
): Promise<KeptFiles> {
  const { paths, account, bundle, maxBytes, signal } = options
  const { workspace } = paths
  const where: FilesOptions = { directory: workspace, account, maxBytes, signal }
  const repository = await salvageRepository({ ...options, workspace }, record)
  const found = await searchWorkspace(where)
  const entries = await measure(namesOf(repository, found, record !== undefined), where)
  let chosen = choose(entries, maxBytes)
  if (found !== undefined && chosen.leftOut.some(({ reason }) => reason === 'TOO_LARGE')) {
    chosen = choose(entries, maxBytes, await ignoredInside(found.repositories, paths.git, where))
  }
  if (chosen.names.length > 0) await archive(chosen, join(bundle, 'files.tar'), where)
  return { repository, chosen, lost: [...unsearched(repository, found), ...lostOf(chosen)] }
}

/**
 * A worktree's commits are in its repository; those of repositories that the run made are below the workspace, also
 * where git does not look: below what is ignored, and in the place of the worktree's own `.git`, which is a file.
 */
function namesOf(repository: RepositorySalvage | undefined, found: Found | undefined, isWorktree: boolean) {
  if (repository === undefined) return undefined
  const { repositories, special } = found ?? { repositories: [], special: [] }
  const inside = repositories.filter((name) => name !== '.')
  const own = isWorktree && !found?.hasOwnGit ? [] : ['.git']
  return [...repository.untracked, ...inside, ...special, ...own]
}

/** Without a repository all files are kept, and those of any repository among them. */
const unsearched = (repository: RepositorySalvage | undefined, found: Found | undefined) =>
  repository !== undefined && found === undefined
    ? ['there is more in it than could be searched for repositories that the run made']
    : []

function lostOf({ lost, lostRepository }: Chosen): string[] {
  const reasons: string[] = []
  if (lostRepository !== undefined) {
    reasons.push(`the commits in ${lostRepository} may be nowhere else, and did not fit (${limit})`)
  }
  const [first, ...more] = lost.toSorted((a, b) => (b.bytes ?? 0) - (a.bytes ?? 0))
  if (first !== undefined) {
    const others = more.length === 0 ? '' : ` and ${more.length} other files`
    const why = first.reason === 'TOO_LARGE' ? `did not fit (${limit})` : 'could not be read'
    reasons.push(`${first.path.slice(0, 200)} (${sizeText(first.bytes ?? 0)})${others} ${why}`)
  }
  return reasons
}

const limit = 'RUNWARDEN_SALVAGE_MAX_BYTES'
