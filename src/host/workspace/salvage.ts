import { constants } from 'node:fs'
import { lstat, mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { RunId } from '../../domain/ids.ts'
import { type LeftOut, leftOutNamedMax, type Salvage } from '../../domain/salvage.ts'
import { isGone } from '../../os/process-identity.ts'
import type { Account } from '../accounts.ts'
import { type RunPaths, syncDirectory } from '../run-directory.ts'
import { archive, choose, type FilesOptions, measure } from './files.ts'
import { refuseMounts } from './remove.ts'
import { type RepositorySalvage, salvageRepository } from './repository.ts'
import { readWorktree } from './worktree.ts'

export type SalvageOptions = {
  runId: RunId
  paths: RunPaths
  account: Account | undefined
  /** Of untracked files, and of the changes to tracked ones. */
  maxBytes: number
  signal: AbortSignal
}

const outputTailBytes = 256 * 1024
const namedInManifestMax = 10_000

/**
 * Keeps what a workspace that was made for a run holds and nothing else does: changes to tracked files, files that git
 * does not track, and the end of the output. It is read as the run's account, so that a workspace cannot make it look
 * at anything that the run could not have read. The bundle appears whole or not at all; one that is there is the result.
 * @returns undefined: there was nothing to keep
 * @throws when something could not be kept; the workspace must stay then
 */
export async function salvageWorkspace(options: SalvageOptions): Promise<Salvage | undefined> {
  const { paths } = options
  const manifest = join(paths.artifacts, 'manifest.json')
  const before = await readFile(manifest, 'utf8').catch((error) => {
    if (isGone(error)) return undefined
    throw error
  })
  if (before !== undefined) return (JSON.parse(before) as { salvage: Salvage }).salvage
  const record = await readWorktree(paths)
  // What is mounted there may not even answer, and whoever looked at it would wait with it.
  refuseMounts(paths.workspace)
  if (!(await hasContent(paths.workspace)) || record?.ready === false) return undefined
  const bundle = `${paths.artifacts}.partial`
  await rm(bundle, { recursive: true, force: true })
  await mkdir(dirname(bundle), { mode: 0o700, recursive: true })
  await mkdir(bundle, { mode: 0o700 })
  const { salvage, leftOut } = await fill(bundle, options, record).catch(async (error) => {
    // What was written so far is of no use, and may be what fills the disk.
    await rm(bundle, { recursive: true, force: true })
    throw error
  })
  const content = { runId: options.runId, salvage, leftOut: leftOut.slice(0, namedInManifestMax) }
  await writeFile(join(bundle, 'manifest.json'), `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600, flush: true })
  await syncDirectory(bundle)
  await rename(bundle, paths.artifacts)
  await syncDirectory(dirname(bundle))
  return salvage
}

/** A link in the place of the workspace is not followed: what it leads to was never the run's. */
async function hasContent(workspace: string): Promise<boolean> {
  try {
    return (await lstat(workspace)).isDirectory() && (await readdir(workspace)).length > 0
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
  record: Awaited<ReturnType<typeof readWorktree>>,
): Promise<{ salvage: Salvage; leftOut: LeftOut[] }> {
  const { paths, account, maxBytes, signal } = options
  const { workspace } = paths
  const where: FilesOptions = { directory: workspace, account, maxBytes, signal }
  const repository = await salvageRepository({ ...options, workspace, bundle }, record)
  const chosen = choose(await measure(namesOf(repository, record !== undefined), where), maxBytes)
  if (chosen.names.length > 0) await archive(chosen, join(bundle, 'files.tar'), where)
  const outputBytes = await keepOutput(paths, join(bundle, 'output.txt'))
  const leftOut = [...chosen.leftOut, ...(repository?.ignored ?? [])]
  const lost = chosen.lostRepository
  const salvage: Salvage = {
    ...{ path: paths.artifacts, branch: record?.branch ?? null, head: repository?.head ?? null },
    ...{ patchBytes: repository?.patchBytes ?? 0, files: chosen.files, filesBytes: chosen.bytes, outputBytes },
    leftOut: {
      count: leftOut.length,
      bytes: leftOut.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0),
      entries: leftOut.slice(0, leftOutNamedMax),
    },
    keep:
      repository?.keep ??
      (lost === undefined ? null : `the commits in ${lost} may be nowhere else, and did not fit`.slice(0, 500)),
  }
  return { salvage, leftOut }
}

/** A worktree's commits are in its repository; those of a repository that the run made are below the workspace. */
function namesOf(repository: RepositorySalvage | undefined, isWorktree: boolean): string[] | undefined {
  if (repository === undefined) return undefined
  return isWorktree ? repository.untracked : [...repository.untracked, '.git']
}

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
