import { z } from 'zod'

/**
 * `TOO_LARGE`: no room within the bound. `IGNORED`: by the repository's .gitignore. `SPECIAL`: no file, directory or
 * link. `UNREADABLE`: not for the run's account. `PATH_TOO_LONG`: longer than a program can open.
 */
export const leftOutReasons = ['TOO_LARGE', 'IGNORED', 'SPECIAL', 'UNREADABLE', 'PATH_TOO_LONG'] as const
export type LeftOutReason = (typeof leftOutReasons)[number]

/** So many of what was left out are named in the event; the bundle's manifest names more. */
export const leftOutNamedMax = 100

const count = z.number().int().nonnegative()

const leftOutSchema = z.object({
  path: z.string().max(500),
  /** null: not known, such as of a directory that git ignores. */
  bytes: count.nullable(),
  reason: z.enum(leftOutReasons),
})
export type LeftOut = z.infer<typeof leftOutSchema>

/** What a workspace held that is nowhere else, kept before anything of it is removed. */
export const salvageSchema = z.object({
  /** The bundle: a directory on the run's host. */
  path: z.string(),
  /** Of a git worktree: its branch, which keeps the commits. */
  branch: z.string().nullable(),
  /** The commit that the changes are changes to; null: no repository, or no commit. */
  head: z.string().nullable(),
  /** Changes to what git tracks; 0: there were none. */
  patchBytes: count,
  /** Files that git does not track. */
  files: count,
  filesBytes: count,
  /** The end of the run's output. */
  outputBytes: count,
  leftOut: z.object({ count, bytes: count, entries: z.array(leftOutSchema).max(leftOutNamedMax) }),
  /** Why the workspace must stay all the same; null: nothing stands against its removal. */
  keep: z.string().max(500).nullable(),
})
export type Salvage = z.infer<typeof salvageSchema>
