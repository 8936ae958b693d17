import { constants } from 'node:fs'
import { lstat, mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { RunId } from '../../domain/ids.ts'
import { isGone } from '../../os/process-identity.ts'
import type { Account } from '../accounts.ts'
import { type RunPaths, syncDirectory } from '../run-directory.ts'
import { type KeptCommits, keepCommits } from './commits.ts'
import { choose } from './files.ts'
import { type KeptFiles, keepFiles } from './keep-files.ts'
import { type Manifest, readManifest, writeManifest } from './manifest.ts'
import { refuseMounts } from './remove.ts'
import { readWorktree, type WorktreeRecord } from './worktree.ts'

export type SalvageOptions = {
  runId: RunId
  paths: RunPaths
  account: Account | undefined
  /** Of each: untracked files, changes to tracked ones, commits. */
  maxBytes: number
  signal: AbortSignal
}

const outputTailBytes = 256 * 1024
const keepLengthMax = 500

/**
 * Keeps what a workspace that was made for a run holds and nothing else does: changes to tracked files, files that git
 * does not track, commits that no ref reaches, and the end of the output. It is read as the run's account, so that a
 * workspace cannot make it look at anything that the run could not have read. The bundle appears whole or not at all;
 * one that is there is the result.
 * @returns undefined: there was nothing to keep
 * @throws when something could not be kept; the workspace must stay then
 */
export async function salvageWorkspace(options: SalvageOptions): Promise<Manifest | undefined> {
  const { paths } = options
  const before = await readManifest(paths.artifacts)
  if (before !== undefined) return before
  const record = await readWorktree(paths)
  // What is mounted there may not even answer, and whoever looked at it would wait with it.
  refuseMounts(paths.workspace)
  const isThere = await hasContent(paths.workspace, record !== undefined)
  if ((!isThere && record === undefined) || record?.ready === false) return undefined
  const bundle = `${paths.artifacts}.partial`
  await rm(bundle, { recursive: true, force: true })
  await mkdir(dirname(bundle), { mode: 0o700, recursive: true })
  await mkdir(bundle, { mode: 0o700 })
  const manifest = await fill(bundle, options, record, isThere).catch(async (error) => {
    // What was written so far is of no use, and may be what fills the disk.
    await rm(bundle, { recursive: true, force: true })
    throw error
  })
  const { commits, salvage } = manifest
  if (!isThere && commits.length === 0 && salvage.keep === null) {
    await rm(bundle, { recursive: true, force: true })
    return undefined
  }
  await writeManifest(bundle, manifest)
  await syncDirectory(bundle)
  await rename(bundle, paths.artifacts)
  await syncDirectory(dirname(bundle))
  return manifest
}

/**
 * A link in the place of the workspace is not followed: what it leads to was never the run's. A worktree that is empty
 * has its index yet.
 */
async function hasContent(workspace: string, isWorktree: boolean): Promise<boolean> {
  try {
    return (await lstat(workspace)).isDirectory() && (isWorktree || (await readdir(workspace)).length > 0)
  } catch (error) {
    if (isGone(error)) return false
    // Its own account may have closed it; what is in it is looked at as that account.
    if ((error as NodeJS.ErrnoException).code === 'EACCES') return true
    throw error
  }
}

async function fill(
  bundle: string,
  options: SalvageOptions,
  record: WorktreeRecord | undefined,
  isThere: boolean,
): Promise<Manifest> {
  const { paths, runId } = options
  const { commits, keep }: KeptCommits =
    record === undefined ? { commits: [], keep: null } : await keepCommits(record, { ...options, bundle })
  const { repository, chosen, lost } = isThere ? await keepFiles({ ...options, bundle }, record) : nothing
  const outputBytes = await keepOutput(paths, join(bundle, 'output.txt'))
  const leftOut = [...chosen.leftOut, ...(repository?.ignored ?? [])]
  const reasons = [keep, repository?.keep ?? null, ...lost]
  return {
    runId,
    salvage: {
      ...{ path: paths.artifacts, branch: record?.branch ?? null, head: repository?.head ?? null },
      ...{ patchBytes: repository?.patchBytes ?? 0, files: chosen.files, filesBytes: chosen.bytes, outputBytes },
      keep: reasons.filter(Boolean).join('; ').slice(0, keepLengthMax) || null,
    },
    leftOut: {
      count: leftOut.length,
      bytes: leftOut.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0),
      entries: leftOut,
    },
    commits,
  }
}

const nothing: KeptFiles = { repository: undefined, chosen: choose([], 0), lost: [] }

/** @returns how much there was */
async function keepOutput(paths: RunPaths, to: string): Promise<number> {
  const file = await open(paths.output, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    (error) => {
      if (isGone(error)) return undefined
      throw error
    },
  )
  if (file === undefined) return 0
  try {
    const stat = await file.stat()
    if (!stat.isFile() || stat.size === 0) return 0
    const length = Math.min(stat.size, outputTailBytes)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, stat.size - length)
    await writeFile(to, buffer.subarray(0, bytesRead), { mode: 0o600, flag: 'wx' })
    return bytesRead
  } finally {
    await file.close()
  }
}
