import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { ProcessIdentity } from '../domain/process-identity.ts'
import { identityOf, isAlive, isGone, type ProcessStat, readIdentity, readStat } from '../os/process-identity.ts'
import { type Account, runAs } from './account.ts'
import { EmbeddedPostgresError } from './embedded-error.ts'
import { programEnvironment } from './program.ts'

/** How it ended; both null where it was not our child, so nobody told us. */
export type PostmasterExit = { code: number | null; signal: NodeJS.Signals | null }

export type Postmaster = {
  identity: ProcessIdentity
  socketDirectory: string
  /** Never rejects. */
  exited: Promise<PostmasterExit>
}

/** What `postmaster.pid` says of who serves a cluster. */
export type Serving =
  | { state: 'nobody' }
  | {
      /**
       * - `dead`: it was killed, and nobody has collected its exit yet.
       * - `stranger`: its pid belongs to a process now that is no postmaster of this cluster.
       * - `unclear`: a PostgreSQL that somebody started by hand, perhaps on this cluster: neither to be adopted nor
       *   to be disturbed.
       */
      state: 'running' | 'dead' | 'stranger' | 'unclear'
      identity: ProcessIdentity
      /** Empty in the first milliseconds: it is written after the pid. */
      socketDirectory: string
    }

const fastShutdownMs = 30_000
/** An immediate shutdown waits 5 s for its children, then kills them. */
const immediateShutdownMs = 10_000

export function whoServes(cluster: string): Serving {
  const lines = readPidFile(cluster)
  const pid = Number(lines?.[0])
  if (!(pid > 1)) return { state: 'nobody' }
  const stat = readStat(pid)
  if (stat === undefined) return { state: 'nobody' }
  return { state: stateOf(stat, cluster), identity: identityOf(stat), socketDirectory: lines?.[4] ?? '' }
}

function stateOf(stat: ProcessStat, cluster: string) {
  if (stat.state === 'Z' || stat.state === 'X') return 'dead'
  if (stat.comm !== 'postgres') return 'stranger'
  if (isPostmasterOf(cluster, stat.pid)) return 'running'
  return isElsewhere(cluster, stat.pid) ? 'stranger' : 'unclear'
}

function readPidFile(cluster: string): string[] | undefined {
  try {
    return readFileSync(join(cluster, 'postmaster.pid'), 'utf8').split('\n')
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

/**
 * The command line tells a postmaster from its children (they rewrite theirs) and needs no right: in a container even
 * root may not read another account's `/proc/<pid>/cwd` or `exe`. The owner says that it is not made up.
 */
function isPostmasterOf(cluster: string, pid: number): boolean {
  try {
    if (statSync(`/proc/${pid}`).uid !== statSync(cluster).uid) return false
    const [program = '', ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    const directory = args[args.indexOf('-D') + 1]
    return basename(program) === 'postgres' && directory !== undefined && sameDirectory(directory, cluster)
  } catch (error) {
    if (isGone(error)) return false
    throw error
  }
}

/** Every process of a PostgreSQL works in its cluster. */
function isElsewhere(cluster: string, pid: number): boolean {
  try {
    if (statSync(`/proc/${pid}`).uid !== statSync(cluster).uid) return true
    return !sameDirectory(`/proc/${pid}/cwd`, cluster)
  } catch (error) {
    if (isGone(error)) return true
    if ((error as NodeJS.ErrnoException).code === 'EACCES') return false
    throw error
  }
}

function sameDirectory(a: string, b: string): boolean {
  const [left, right] = [a, b].map((path) => statSync(path, { bigint: true, throwIfNoEntry: false }))
  return left !== undefined && left.dev === right?.dev && left.ino === right.ino
}

/** Starts a server in a session of its own, so that Ctrl-C in our terminal is not for it. */
export async function spawnPostmaster(
  program: string,
  options: { cluster: string; socketDirectory: string; settings: readonly string[]; account: Account; logFd: number },
): Promise<Postmaster> {
  const { cluster, socketDirectory, settings, account, logFd } = options
  const child = spawn(program, ['-D', cluster, ...settings.flatMap((setting) => ['-c', setting])], {
    ...runAs(account),
    cwd: '/',
    env: programEnvironment,
    detached: true,
    stdio: ['ignore', logFd, logFd],
  })
  const exited = exitOf(child)
  // Read at once: its pid cannot pass to another process before this turn of the event loop ends and it is collected.
  const identity = child.pid === undefined ? undefined : readIdentity(child.pid)
  if (identity === undefined) {
    const [cause] = await once(child, 'error')
    throw new EmbeddedPostgresError('START_FAILED', `${program} could not be started: ${cause.message}`, { cause })
  }
  child.unref()
  return { identity, socketDirectory, exited }
}

function exitOf(child: ChildProcess): Promise<PostmasterExit> {
  return new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })))
}

/** A postmaster that somebody else started: its end is seen by looking. */
export function adoptPostmaster(identity: ProcessIdentity, socketDirectory: string): Postmaster {
  const exited = new Promise<PostmasterExit>((resolve) => {
    const timer = setInterval(() => {
      if (isAlive(identity)) return
      clearInterval(timer)
      resolve({ code: null, signal: null })
    }, 100)
    timer.unref()
  })
  return { identity, socketDirectory, exited }
}

/**
 * A fast shutdown: clients are cut off, everything is on disk. Where that does not end in 30 s, an immediate one, from
 * which the next start recovers.
 * @throws EmbeddedPostgresError STOP_FAILED
 */
export async function stopPostmaster(identity: ProcessIdentity): Promise<void> {
  signalPostmaster(identity, 'SIGINT')
  if (await ended(identity, fastShutdownMs)) return
  signalPostmaster(identity, 'SIGQUIT')
  if (await ended(identity, immediateShutdownMs)) return
  throw new EmbeddedPostgresError(
    'STOP_FAILED',
    `PostgreSQL (pid ${identity.pid}) is still there ${(fastShutdownMs + immediateShutdownMs) / 1000} s after it was told to stop, probably waiting for its disk. Nothing is lost; stop it with kill -QUIT ${identity.pid} when the disk answers again.`,
  )
}

function signalPostmaster(identity: ProcessIdentity, signal: NodeJS.Signals): void {
  if (!isAlive(identity)) return
  try {
    process.kill(identity.pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Waits until the process has ended; false when the time is over first. */
export async function ended(identity: ProcessIdentity, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
  const deadline = Date.now() + timeoutMs
  while (isAlive(identity)) {
    if (Date.now() > deadline) return false
    await delay(10, undefined, { signal })
  }
  return true
}
