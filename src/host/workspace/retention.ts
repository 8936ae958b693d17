import { existsSync } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { DesiredRun } from '../../domain/host-link.ts'
import { runIdSchema } from '../../domain/ids.ts'
import { isGone } from '../../os/process-identity.ts'
import { Bell } from '../bell.ts'
import type { Clock, Log } from '../clock.ts'
import { type RunPaths, readJson, runPaths } from '../run-directory.ts'
import { accountOf } from './account.ts'
import { command, failureOf } from './command.ts'
import { occupantsOf } from './occupants.ts'
import { removeTree } from './remove.ts'
import { forgetWorktree, readWorktree } from './worktree.ts'

/** For how long, and how much of it, what runs left behind is kept. */
export type Retention = { maxAgeMs: number; maxBytes: number }

export type RetentionOptions = {
  hostDirectory: string
  retention: Retention
  /** Milliseconds since the epoch. */
  now: number
  log: Log
  signal: AbortSignal
}

type Kept = { path: string; trash: string; runId: string; at: number; bytes: number }

const measureTimeoutMs = 5 * 60_000

const roundMs = 60 * 60_000

/** A round at once, then one an hour, until the signal aborts. */
export async function applyRetentionRegularly(
  options: Omit<RetentionOptions, 'now'> & { clock: Clock },
): Promise<void> {
  const { clock, log, signal } = options
  const bell = new Bell()
  while (!signal.aborted) {
    await applyRetention({ ...options, now: clock().getTime() }).catch((error) => {
      log.error({ err: error }, 'what runs left behind could not be looked through; the next round follows')
    })
    await bell.wait(roundMs, signal)
  }
}

/**
 * Removes salvage bundles and workspaces that were kept, once they are too old, and then the oldest until the rest is
 * within the bound. Only of runs of which nothing is left to do; never a workspace in which somebody works.
 */
export async function applyRetention(options: RetentionOptions): Promise<void> {
  const { retention, now, log, signal } = options
  const kept = (await keptBy(options)).toSorted((a, b) => b.at - a.at)
  let bytes = 0
  for (const each of kept) {
    if (signal.aborted) return
    bytes += each.bytes
    if (now - each.at <= retention.maxAgeMs && bytes <= retention.maxBytes) continue
    const removed = await remove(each, options).catch((error) => {
      log.warn({ err: error, path: each.path }, 'what a run left behind could not be removed; the next round follows')
      return false
    })
    if (!removed) continue
    bytes -= each.bytes
    log.info({ runId: each.runId, path: each.path, bytes: each.bytes }, 'what a run left behind was kept long enough')
  }
}

async function remove({ path, trash, runId }: Kept, { hostDirectory, signal }: RetentionOptions): Promise<boolean> {
  const paths = runPaths(hostDirectory, runId)
  if ((await occupantsOf([path])).length > 0) return false
  await removeTree(path, trash, signal)
  if (path === paths.workspace) await forget(paths, signal)
  return true
}

/** As the run's account, as everything that touches a repository. */
async function forget(paths: RunPaths, signal: AbortSignal): Promise<void> {
  const record = await readWorktree(paths)
  const desired = await readJson<DesiredRun>(paths.desired)
  if (record === undefined || desired === undefined) return
  await forgetWorktree(record, paths, accountOf(desired.work), signal)
}

async function keptBy({ hostDirectory, signal }: RetentionOptions): Promise<Kept[]> {
  const kept: Kept[] = []
  for (const place of ['artifacts', 'workspaces'] as const) {
    for (const runId of await namesIn(join(hostDirectory, place))) {
      const paths = runPaths(hostDirectory, runId)
      if (!runIdSchema.safeParse(runId).success || !existsSync(paths.finished)) continue
      const path = join(hostDirectory, place, runId)
      const at = (await lstat(paths.finished)).mtimeMs
      kept.push({ path, trash: paths.workspaceTrash, runId, at, bytes: await sizeOf(path, signal) })
    }
  }
  return kept
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (isGone(error)) return []
    throw error
  }
}

/** What it takes of the disk. */
async function sizeOf(path: string, signal: AbortSignal): Promise<number> {
  const argv = ['du', '-s', '-x', '--block-size=1', '--', path]
  const measured = await command({
    argv,
    account: undefined,
    outputBytesMax: 8_192,
    timeoutMs: measureTimeoutMs,
    signal,
  })
  if (measured.status !== 0) throw failureOf('du', measured)
  return Number.parseInt(measured.stdout.toString(), 10)
}
