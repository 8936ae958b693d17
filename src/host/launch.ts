import { spawn } from 'node:child_process'
import { closeSync, lstatSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { ProcessIdentity } from '../domain/process-identity.ts'
import type { LimitReport } from '../domain/resource-limits.ts'
import { isGone, machineIdentity } from '../os/process-identity.ts'
import { Bell } from './bell.ts'
import { Cgroup } from './cgroup.ts'
import { isDiskFull } from './journal.ts'
import type { LaunchFailure, LaunchPlan } from './launch-plan.ts'
import { limitCgroup } from './limit-plan.ts'
import { isRunning } from './process-table.ts'
import { openForAppending, type RunPaths, readSlot, writeAtomically } from './run-directory.ts'

/** Written once, before the first attempt; what it says holds for all attempts. */
export type LaunchRecord = {
  bootId: string
  pidNamespace: string
  /** Of the run; null: this host had no use of cgroups then. */
  cgroup: string | null
  workspace: string
  /** What becomes of its limits; absent: it has none. */
  limits?: LimitReport[] | undefined
}

export type Started = {
  attempt: number
  root: ProcessIdentity
  shim: ProcessIdentity
  /** When the root began: the shim wrote its identity then. */
  startedAt: Date
}

export type LaunchOutcome =
  | { kind: 'started'; started: Started }
  | { kind: 'failed'; failure: LaunchFailure }
  /** Something was launched once; nobody can say what came of it. */
  | { kind: 'lost' }

export type Earlier = LaunchOutcome | { kind: 'none'; nextAttempt: number }

/** Makes the run's cgroup, with its limits, and journals that a launch begins. @returns why it could not, and must not */
export async function recordLaunch(
  paths: RunPaths,
  { workspace, limits }: LaunchPlan,
  cgroup: string | null,
): Promise<LaunchRecord | LaunchFailure> {
  const record: LaunchRecord = { ...machineIdentity(), cgroup, workspace, limits: limits.reports }
  try {
    if (cgroup !== null) new Cgroup(cgroup).make()
    const refused = cgroup === null ? undefined : limitCgroup(cgroup, limits.cgroupFiles)
    if (refused !== undefined) return refused
    await writeAtomically(paths.launch, JSON.stringify(record))
    return record
  } catch (error) {
    return { code: 'DISK_FULL', message: `The launch cannot be journalled: ${(error as Error).message}` }
  }
}

/** A shim that has won its claim writes two identities within milliseconds; a machine that thrashes needs longer. */
const identityWaitMs = 10_000

/**
 * What came of the attempts before: each either was stopped by taking its claim away, for good, or was won by its shim.
 * @param record of a launch that was begun
 */
export async function findEarlierLaunch(paths: RunPaths, record: LaunchRecord, signal: AbortSignal): Promise<Earlier> {
  for (let attempt = 1; ; attempt += 1) {
    const holder = whoHolds(paths.claim(attempt))
    if (holder === 'host') continue
    // Taken by us this very moment: its shim, should one be on its way, ends without launching.
    if (holder === undefined && takeClaim(paths.claim(attempt)) === 'host')
      return { kind: 'none', nextAttempt: attempt + 1 }
    return identityOutcome(paths, record, attempt, new AbortController().signal, signal)
  }
}

/** A shim makes a directory, the host a link that leads nowhere: both fail when the name is taken. */
function whoHolds(claim: string): 'shim' | 'host' | undefined {
  try {
    return lstatSync(claim).isDirectory() ? 'shim' : 'host'
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

function takeClaim(claim: string): 'shim' | 'host' {
  try {
    symlinkSync('taken-by-host', claim)
    return 'host'
  } catch (error) {
    // Where the whole directory is gone, a run that was launched may have removed it.
    if ((error as NodeJS.ErrnoException).code === 'EEXIST' || isGone(error)) return 'shim'
    throw error
  }
}

export type AttemptOptions = {
  paths: RunPaths
  record: LaunchRecord
  plan: LaunchPlan
  attempt: number
  shimCgroup: string | null
  signal: AbortSignal
  /** The shim, our child, has ended: the exit is written. */
  onShimExit: () => void
}

/** Starts a shim and waits until the root's identity is on the disk. */
export async function attemptLaunch(options: AttemptOptions): Promise<LaunchOutcome> {
  const { paths, record, plan, attempt } = options
  const shimEnded = new AbortController()
  const spawned = await spawnShim(options, () => {
    shimEnded.abort()
    options.onShimExit()
  })
  if (spawned !== undefined) {
    takeClaim(paths.claim(attempt))
    return { kind: 'failed', failure: spawned }
  }
  const outcome = await identityOutcome(paths, record, attempt, shimEnded.signal, options.signal)
  if (outcome.kind !== 'lost' || takeClaim(paths.claim(attempt)) === 'shim') return outcome
  const message = `The launcher ended before it could begin, in ${plan.workspace}; the disk may be full.`
  return { kind: 'failed', failure: { code: 'SPAWN_FAILED', message } }
}

async function identityOutcome(
  paths: RunPaths,
  record: LaunchRecord,
  attempt: number,
  shimEnded: AbortSignal,
  signal: AbortSignal,
): Promise<LaunchOutcome> {
  const bell = new Bell()
  const deadline = performance.now() + identityWaitMs
  for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, 20)) {
    // Looked at first, so that what the shim wrote last is not missed.
    const over = shimEnded.aborted || signal.aborted || performance.now() > deadline || !mayStillCome(paths, record)
    const [root, shim] = [readSlot(paths.root), readSlot(paths.shim)]
    if (root === 'failed') return { kind: 'failed', failure: cgroupFailure(record) }
    if (root !== undefined && shim !== undefined) {
      const startedAt = statSync(paths.root).mtime
      return { kind: 'started', started: { attempt, root: identity(root), shim: identity(shim), startedAt } }
    }
    if (over) return { kind: 'lost' }
    await bell.wait(waitMs, AbortSignal.any([signal, shimEnded]))
  }

  function identity(slot: string): ProcessIdentity {
    const [pid, startTime = ''] = slot.split(' ')
    return { pid: Number(pid), startTime, bootId: record.bootId, pidNamespace: record.pidNamespace }
  }
}

/** Not after a boot, and not when the shim has named itself and is gone. */
function mayStillCome(paths: RunPaths, record: LaunchRecord): boolean {
  if (record.bootId !== machineIdentity().bootId) return false
  const [pid, startTime] = readSlot(paths.shim)?.split(' ') ?? []
  if (pid === undefined || startTime === undefined) return true
  return isRunning({ pid: Number(pid), startTime, bootId: record.bootId, pidNamespace: record.pidNamespace })
}

const cgroupFailure = (record: LaunchRecord): LaunchFailure => ({
  code: 'SPAWN_FAILED',
  message: `The run could not enter its cgroup ${record.cgroup}.`,
})

/** The launcher's file is read by its path: as text on a command line it would be in every process list. */
const shimFile = join(import.meta.dirname, 'shim.sh')

function spawnShim(options: AttemptOptions, onExit: () => void): Promise<LaunchFailure | undefined> {
  const { paths, plan, record, attempt, shimCgroup } = options
  let output: number
  try {
    output = openForAppending(paths.output, plan.account)
  } catch (error) {
    return Promise.resolve(spawnFailure(error as NodeJS.ErrnoException))
  }
  return new Promise((resolve) => {
    try {
      const child = spawn(
        '/bin/sh',
        [
          shimFile,
          String(attempt),
          record.cgroup ?? '',
          record.cgroup === null ? '' : (shimCgroup ?? ''),
          ...plan.argv,
        ],
        // Detached: a session of its own, which outlives this process and its terminal.
        { cwd: paths.directory, env: plan.environment, detached: true, stdio: ['ignore', output, output] },
      )
      child.once('error', (error: NodeJS.ErrnoException) => resolve(spawnFailure(error)))
      child.once('spawn', () => resolve(undefined))
      child.once('exit', onExit)
      child.unref()
    } catch (error) {
      resolve(spawnFailure(error as NodeJS.ErrnoException))
    } finally {
      closeSync(output)
    }
  })
}

function spawnFailure(error: NodeJS.ErrnoException): LaunchFailure {
  const tooLong = error.code === 'E2BIG' ? ' Command line and environment are too long together.' : ''
  return {
    code: isDiskFull(error) ? 'DISK_FULL' : 'SPAWN_FAILED',
    message: `The run could not be started: ${error.message}.${tooLong}`,
  }
}
