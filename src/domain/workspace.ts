import { z } from 'zod'

const absolutePath = z
  .string()
  .max(4096)
  .refine((path) => !path.includes('\0'), 'holds a NUL byte, which no path can')
  .refine((path) => path.startsWith('/'), 'is not an absolute path')

/** What `git check-ref-format` refuses, but for control characters; git itself is asked when the worktree is made. */
const noBranch = /^-|^\/|^@$|^HEAD$|[ ~^:?*[\\]|\.\.|@\{|\/\/|(^|\/)\.|\.lock(\/|$)|[/.]$/
const isPrintable = (name: string) => !/\p{Cc}/u.test(name)

const branchName = z
  .string()
  .min(1, 'is empty: leave it out for a branch that is named after the run')
  .max(200, 'is longer than 200 characters')
  .refine((name) => isPrintable(name) && !noBranch.test(name), 'is no name that git takes for a branch')

/** Where a run works. */
export const workspaceSchema = z.discriminatedUnion('kind', [
  /** A directory that is there and stays. */
  z.strictObject({ kind: z.literal('EXISTING'), path: absolutePath }),
  /** An empty directory made for the run. */
  z.strictObject({ kind: z.literal('TEMPORARY') }),
  /** A worktree made for the run, of a git repository on its host. */
  z.strictObject({
    kind: z.literal('GIT_WORKTREE'),
    repository: absolutePath,
    /** Made where it is missing. Left out: `runwarden/<run id>`. */
    branch: branchName.optional(),
  }),
])
export type Workspace = z.infer<typeof workspaceSchema>
