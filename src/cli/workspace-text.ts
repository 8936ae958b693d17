import { sizeText } from '../domain/size.ts'
import type { SalvageAnswer, WorkspaceAnswer } from './answers.ts'
import { printable } from './printable.ts'

/** Where runs of this definition work, for people. */
export function workspaceKindText({ path, repository, branch }: WorkspaceAnswer): string {
  if (repository === null) return path ?? 'a new, empty one for each run'
  return `a git worktree of ${repository}, branch ${branch ?? 'runwarden/<run id>'}`
}

/** What was kept of a workspace, and where it is. */
export function salvageText(salvage: SalvageAnswer): string {
  const { path, patchBytes, files, filesBytes, leftOutCount, keep } = salvage
  const parts = [
    patchBytes > 0 && `changes (${sizeText(patchBytes)})`,
    files > 0 && `${files} ${files === 1 ? 'file' : 'files'} (${sizeText(filesBytes)})`,
    leftOutCount > 0 && `${leftOutCount} left out, see manifest.json`,
    keep !== null && printable(keep),
  ].filter((part) => part !== false)
  return `${printable(path)}${parts.length === 0 ? '' : `: ${parts.join(', ')}`}`
}
