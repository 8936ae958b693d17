import { spawn } from 'node:child_process'
import {
  closeSync,
  constants,
  existsSync,
  type FSWatcher,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  watch,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { OutOfMemory } from '../domain/out-of-memory.ts'
import { KeptFiles } from '../os/kept-files.ts'
import { readKernelFile } from '../os/read-kernel-file.ts'
import type { Bell } from './bell.ts'
import type { Log } from './clock.ts'
import { type Controllers, controllerFiles, openControllers } from './controllers.ts'

/**
 * What a run may make inside its cgroup, so that looking at it stays cheap, and each cgroup has a path that can be
 * opened: 12 names of 255 bytes fit into Linux's 4,096. A container engine inside a run nests four or five deep.
 */
const bounds: Readonly<Record<string, number>> = { 'cgroup.max.depth': 12, 'cgroup.max.descendants': 1_000 }

/** One run's cgroup: a directory whose list of members the kernel keeps. */
export class Cgroup {
  readonly path: string
  readonly #kept = new KeptFiles<'cgroup.procs'>()

  constructor(path: string) {
    this.path = path
  }

  /** Makes it, or takes the one that is there. */
  make(): void {
    mkdirSync(this.path, { recursive: true })
    for (const [file, bound] of Object.entries(bounds)) writeIfThere(join(this.path, file), String(bound))
  }

  /** False also when it was removed: only an empty cgroup can be. */
  populated(): boolean {
    const events = readOrUndefined(join(this.path, 'cgroup.events'))
    return events !== undefined && /^populated 1$/m.test(events)
  }

  /** Rings the bell when the last member has gone. undefined: the machine has no watch left to give. */
  watch(bell: Bell, log: Log): FSWatcher | undefined {
    const path = join(this.path, 'cgroup.events')
    try {
      const watcher = watch(path, { persistent: false }, () => bell.ring())
      return watcher.on('error', () => watcher.close())
    } catch (error) {
      if (!isMissing(error)) log.warn({ err: error, path }, 'a cgroup cannot be watched; it is polled')
      return undefined
    }
  }

  /** Members, those of cgroups that the run made inside included. Zombies may be missing. */
  pids(): Set<number> {
    const pids = new Set<number>()
    for (const directory of this.#directories()) {
      for (const line of this.#list(directory)?.split('\n') ?? []) {
        // 0: a process of a pid namespace that is not visible here.
        if (Number(line) > 0) pids.add(Number(line))
      }
    }
    return pids
  }

  /** Those of cgroups inside, which the run may make and remove at will, are not kept open. */
  #list(directory: string): string | undefined {
    const path = () => join(directory, 'cgroup.procs')
    return directory === this.path
      ? unlessMissing(() => this.#kept.read('cgroup.procs', path))
      : readOrUndefined(path())
  }

  /** Closes what is kept open. What follows opens it anew. */
  rest(): void {
    this.#kept.closeUnless(() => false)
  }

  /** SIGKILL to all members at once; forks that are under way are caught. False: this kernel cannot (before 5.14). */
  kill(): boolean {
    return writeIfThere(join(this.path, 'cgroup.kill'), '1')
  }

  /** Stops (or goes on with) all members, so that none forks while they are signalled one by one. */
  freeze(frozen: boolean): boolean {
    return writeIfThere(join(this.path, 'cgroup.freeze'), frozen ? '1' : '0')
  }

  /** Everybody in it stands still, those of cgroups inside included. */
  frozen(): boolean {
    return /^frozen 1$/m.test(readOrUndefined(join(this.path, 'cgroup.events')) ?? '')
  }

  /** CPU time of all members that ever were, in milliseconds. */
  cpuMs(): number | undefined {
    const usec = /^usage_usec (\d+)$/m.exec(readOrUndefined(join(this.path, 'cpu.stat')) ?? '')?.[1]
    return usec === undefined ? undefined : Math.round(Number(usec) / 1000)
  }

  /** What memory.events says of it and of all inside; undefined: nobody was killed for memory, or nobody counts it. */
  outOfMemory(): OutOfMemory | undefined {
    const events = readOrUndefined(join(this.path, 'memory.events')) ?? ''
    const count = (name: string) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(events)?.[1] ?? 0)
    const kills = count('oom_kill')
    if (kills === 0) return undefined
    const max = readOrUndefined(join(this.path, controllerFiles.memory))?.trim()
    return { kills, limitHits: count('oom'), limitBytes: max === undefined || max === 'max' ? null : Number(max) }
  }

  /** @throws EBUSY while a member lives */
  remove(): void {
    for (const directory of this.#directories().reverse()) removeIfThere(directory)
  }

  /** This cgroup, then what lies inside, parents first. */
  #directories(): string[] {
    const found = [this.path]
    for (let next = 0; next < found.length; next += 1) {
      const directory = found[next] as string
      if (hasNoneInside(directory)) continue
      for (const entry of listOrEmpty(directory)) if (entry.isDirectory()) found.push(join(directory, entry.name))
    }
    return found
  }
}

/** Where this host puts its runs' cgroups; absent: why it cannot. */
export type CgroupBase =
  | { ok: true; base: string; shims: string; controllers: Controllers }
  | { ok: false; why: string }

/**
 * Finds cgroup v2 and tries it for real: make a cgroup, move a process in, see it listed, remove the cgroup.
 * @param hostDirectory its device and inode name the base, so that a host finds its own cgroups again
 */
export async function openCgroupBase(hostDirectory: string): Promise<CgroupBase> {
  const own = ownCgroup()
  if (own === undefined) return { ok: false, why: 'no cgroup v2 is mounted, or this process lies outside of the mount' }
  const { dev, ino } = statSync(hostDirectory)
  const hex = ((BigInt(dev) * 0x9e37_79b1n) ^ BigInt(ino)) & 0xffff_ffffn
  const base = join(own, `runwarden-${hex.toString(16).padStart(8, '0')}`)
  const shims = join(base, 'shims')
  try {
    mkdirSync(shims, { recursive: true })
    const probe = join(base, 'probe')
    mkdirSync(probe, { recursive: true })
    const moved = await movesIn(probe)
    await removeSoon(probe)
    if (!moved) return { ok: false, why: `a process cannot be moved into ${base}; without root that needs delegation` }
    if (!existsSync(join(shims, 'cgroup.kill')) && !existsSync(join(shims, 'cgroup.freeze'))) {
      return { ok: false, why: 'this kernel has neither cgroup.kill (5.14) nor cgroup.freeze (5.2)' }
    }
    return { ok: true, base, shims, controllers: openControllers(own, base, shims) }
  } catch (error) {
    return { ok: false, why: `${base} cannot be used: ${(error as Error).message}` }
  }
}

/** A process moves itself into the cgroup, as a run will, and says whether it was let in. */
function movesIn(cgroup: string): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn('/bin/sh', ['-c', 'echo 0 >"$0/cgroup.procs"', cgroup], {
      stdio: 'ignore',
      timeout: 5_000,
      killSignal: 'SIGKILL',
    })
    child.once('error', () => resolve(false))
    child.once('close', (status) => resolve(status === 0))
  })
}

/** Removes a base in which no run lives; one that is in use stays. */
export function removeCgroupBase(base: string): void {
  for (const directory of [join(base, 'shims'), base]) {
    try {
      removeIfThere(directory)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'EBUSY' && code !== 'ENOTEMPTY') throw error
    }
  }
}

/** A zombie leaves its cgroup a moment after it died. */
async function removeSoon(path: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return removeIfThere(path)
    } catch (error) {
      if (attempt === 50) throw error
      await setTimeout(2)
    }
  }
}

/** The directory of this process's own cgroup, where cgroup v2 is mounted (possibly beside v1). */
function ownCgroup(): string | undefined {
  const own = /^0::(\/.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1]
  if (own === undefined) return undefined
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [left, right] = line.split(' - ')
    if (!right?.startsWith('cgroup2 ')) continue
    const [, , , root = '/', mount = ''] = left?.split(' ') ?? []
    const inside = root === '/' ? own : own.startsWith(`${root}/`) || own === root ? own.slice(root.length) : undefined
    if (inside !== undefined && !inside.startsWith('/..')) return join(mount, inside)
  }
  return undefined
}

/** For writing only: `cgroup.kill` may be read by nobody, which an account without root's rights is held to. */
function writeIfThere(path: string, content: string): boolean {
  try {
    const file = openSync(path, constants.O_WRONLY)
    try {
      writeSync(file, content)
    } finally {
      closeSync(file)
    }
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}

function removeIfThere(path: string): void {
  try {
    rmdirSync(path)
  } catch (error) {
    if (!isMissing(error)) throw error
  }
}

const readOrUndefined = (path: string) => unlessMissing(() => readKernelFile(path))

const listOrEmpty = (path: string) => unlessMissing(() => readdirSync(path, { withFileTypes: true })) ?? []

/** A directory of cgroups has two links, and one for each inside; listing its 40 files takes 20 times as long. */
const hasNoneInside = (path: string) =>
  (unlessMissing(() => statSync(path, { throwIfNoEntry: false }))?.nlink ?? 2) === 2

function unlessMissing<Result>(read: () => Result): Result | undefined {
  try {
    return read()
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/**
 * ENODEV: the cgroup was removed while its file was open. ENOTSUP: the run made it a threaded one, which has neither a
 * list of processes nor a kill; what is above it lists them still, and `populated` holds for it too. ENAMETOOLONG: a
 * run with root's rights has lifted our bounds; the kernel kills and counts its members there like any others.
 */
function isMissing(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code !== undefined && ['ENOENT', 'ENODEV', 'ENOTSUP', 'ENAMETOOLONG'].includes(code)
}
