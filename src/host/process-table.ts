import { readdirSync } from 'node:fs'
import { uptime } from 'node:os'
import { setImmediate } from 'node:timers/promises'
import type { HostId } from '../domain/ids.ts'
import type { ProcessIdentity } from '../domain/process-identity.ts'
import { KeptFiles } from '../os/kept-files.ts'
import { identityOf, isGone, machineIdentity, type ProcessStat, parseStat } from '../os/process-identity.ts'
import { readKernelFile } from '../os/read-kernel-file.ts'
import { readMarker } from './marker.ts'

export type ProcessEntry = ProcessStat & {
  /** False: dead, and at most waiting for its parent to collect it. */
  alive: boolean
  /** RUNWARDEN_RUN_ID of its environment; null: none, or not ours to read. */
  marker: string | null
}

/** Everybody on this machine at about one moment, with the indexes that a search for members needs. */
export type ProcessTable = {
  readonly processes: ReadonlyMap<number, ProcessEntry>
  /** False: a process may live that came while the table was read and is not in it, so nobody's absence is shown. */
  readonly conclusive: boolean
  /** Larger: read later. */
  readonly serial: number
  readonly childrenOf: (pid: number) => readonly ProcessEntry[]
  readonly inSession: (pid: number) => readonly ProcessEntry[]
  readonly inGroup: (pid: number) => readonly ProcessEntry[]
  readonly markedBy: (runId: string) => readonly ProcessEntry[]
}

export function tableOf(
  entries: Iterable<ProcessEntry>,
  { conclusive, serial }: Pick<ProcessTable, 'conclusive' | 'serial'>,
): ProcessTable {
  const processes = new Map<number, ProcessEntry>()
  const children = new Map<number, ProcessEntry[]>()
  const sessions = new Map<number, ProcessEntry[]>()
  const groups = new Map<number, ProcessEntry[]>()
  const markers = new Map<string, ProcessEntry[]>()
  for (const entry of entries) {
    processes.set(entry.pid, entry)
    put(children, entry.ppid, entry)
    put(sessions, entry.session, entry)
    put(groups, entry.pgrp, entry)
    if (entry.marker !== null) put(markers, entry.marker, entry)
  }
  return {
    processes,
    conclusive,
    serial,
    childrenOf: (pid) => children.get(pid) ?? [],
    inSession: (pid) => sessions.get(pid) ?? [],
    inGroup: (pid) => groups.get(pid) ?? [],
    markedBy: (runId) => markers.get(runId) ?? [],
  }
}

function put<Key>(index: Map<Key, ProcessEntry[]>, key: Key, entry: ProcessEntry): void {
  const known = index.get(key)
  if (known === undefined) index.set(key, [entry])
  else known.push(entry)
}

const exitingFlag = 0x4
/** Dead, or about to be: its environment, and with it its marker, cannot be read any more. */
const isEnding = (entry: ProcessEntry) => !entry.alive || (entry.flags & exitingFlag) !== 0

/** Unique among all processes since boot, in this pid namespace. */
export const entryKey = (entry: Pick<ProcessStat, 'pid' | 'startTime'>) => `${entry.pid}:${entry.startTime}`

/** Pid and start time: a shim and its root are often born within one tick. */
export const isEntryOf = (entry: ProcessEntry | undefined, identity: ProcessIdentity): entry is ProcessEntry =>
  entry !== undefined &&
  entry.pid === identity.pid &&
  entry.startTime === identity.startTime &&
  isOfThisMachine(identity)

export function isOfThisMachine(identity: Pick<ProcessIdentity, 'bootId' | 'pidNamespace'>): boolean {
  const { bootId, pidNamespace } = machineIdentity()
  return identity.bootId === bootId && identity.pidNamespace === pidNamespace
}

/** State X, or Z when no other thread of the process lives: a leader that has exited shows Z while its threads run. */
export function isAlive(stat: Pick<ProcessStat, 'pid' | 'state'>): boolean {
  if (stat.state === 'X') return false
  if (stat.state !== 'Z') return true
  return threadStates(stat.pid).some((state) => state !== 'Z' && state !== 'X')
}

/** Stopped by a signal or a debugger; of a process whose leader has exited, each thread that lives. */
export function isStopped(stat: Pick<ProcessStat, 'pid' | 'state'>): boolean {
  if (stat.state !== 'Z') return stat.state === 'T' || stat.state === 't'
  return threadStates(stat.pid).every((state) => 'ZXTt'.includes(state))
}

/** None of a process that is gone. */
function threadStates(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(
      (thread) => parseStat(readKernelFile(`/proc/${pid}/task/${thread}/stat`)).state,
    )
  } catch (error) {
    if (isGone(error)) return []
    throw error
  }
}

/** The very process is there and not dead. */
export function isRunning(identity: ProcessIdentity): boolean {
  if (!isOfThisMachine(identity)) return false
  const stat = statOrUndefined(identity.pid)
  return stat !== undefined && stat.startTime === identity.startTime && isAlive(stat)
}

export const identityOfEntry = (entry: ProcessEntry): ProcessIdentity => identityOf(entry)

const kernelThreadFlag = 0x0020_0000
export const isKernelThread = (stat: Pick<ProcessStat, 'flags'>) => (stat.flags & kernelThreadFlag) !== 0

/** More new pids than this at a time, and the reading is called inconclusive without looking at each of them. */
const newPidsMax = 2_000
/** Rounds take some 50 µs; 1,600 forks a second leave one in ten of them with somebody who ended. */
const roundsMax = 20
/** The longest stretch for which reading keeps the event loop to itself. 2,000 processes take 40–65 ms in all. */
const stretchMs = 5

/** Reads `/proc` for all who ask: those who ask while a reading goes on share the next one. */
export class ProcessReader {
  readonly #stats = new KeptFiles<number>()
  readonly #known = new Map<number, Known>()
  readonly #hostId: HostId | undefined
  #current: Promise<unknown> = Promise.resolve()
  #next: Promise<ProcessTable> | undefined
  #serial = 0

  /** @param hostId whose runs' markers count; undefined: any host's */
  constructor(hostId?: HostId) {
    this.#hostId = hostId
  }

  /** A table whose reading began after this call. */
  read(): Promise<ProcessTable> {
    this.#next ??= this.#current.then(() => {
      const reading = this.#read()
      this.#next = undefined
      this.#current = reading.catch(() => {})
      return reading
    })
    return this.#next
  }

  async #read(): Promise<ProcessTable> {
    const entries = new Map<number, ProcessEntry>()
    this.#serial += 1
    const lastPidBefore = lastPid()
    let stretchEnd = performance.now() + stretchMs
    for (const name of readdirSync('/proc')) {
      const pid = Number(name)
      if (Number.isNaN(pid)) continue
      const entry = this.#entry(pid)
      if (entry !== undefined) entries.set(entry.pid, entry)
      if (performance.now() < stretchEnd) continue
      await setImmediate()
      stretchEnd = performance.now() + stretchMs
    }
    const conclusive = this.#addNewcomers(entries, lastPidBefore)
    this.#forgetOthers()
    return tableOf(entries.values(), { conclusive, serial: this.#serial })
  }

  /**
   * Pids given out since the reading began: a chain of processes that replace themselves runs ahead of the listing.
   * Whoever cannot be read is dead, or not born yet and its parent, alive, was read before it (a child's pid is the
   * higher one). So only who ended within the last round may have left a child that nobody saw, and a round in which
   * nobody did leaves nobody out: the many short lives of a busy machine hide nothing.
   */
  #addNewcomers(entries: Map<number, ProcessEntry>, lastPidBefore: number) {
    let before = lastPidBefore
    for (let round = 0; round < roundsMax; round += 1) {
      const now = lastPid()
      if (now < before || now - before > newPidsMax) return false
      let ended = 0
      for (let pid = before + 1; pid <= now; pid += 1) {
        if (entries.has(pid)) continue
        const entry = this.#entry(pid)
        if (entry === undefined || isEnding(entry)) ended += 1
        // A thread has a pid too, and a directory that is not listed; its process has been read.
        if (entry !== undefined && !isThread(pid)) entries.set(pid, entry)
      }
      if (ended === 0) return true
      before = now
    }
    return false
  }

  #entry(pid: number): ProcessEntry | undefined {
    const text = this.#textOf(pid)
    if (text === undefined) return undefined
    const before = this.#known.get(pid)
    const isSame = before?.text === text && isSettled(before)
    const now = isSame ? before : newsOf(text, before, this.#hostId)
    now.reading = this.#serial
    if (!isSame) this.#known.set(pid, now)
    return now.entry
  }

  /** Whoever was not met in this reading. */
  #forgetOthers(): void {
    for (const [pid, { reading }] of this.#known) {
      if (reading === this.#serial) continue
      this.#known.delete(pid)
      this.#stats.close(pid)
    }
  }

  #textOf(pid: number): string | undefined {
    try {
      return this.#stats.read(pid, () => `/proc/${pid}/stat`)
    } catch (error) {
      if (isGone(error)) return undefined
      throw error
    }
  }

  /** Closes what is kept open. The next reading opens it anew. */
  rest(): void {
    this.#stats.closeUnless(() => false)
  }
}

/** What was read of a process, and what it says: of most processes each reading says the same. */
type Known = {
  text: string
  entry: ProcessEntry
  /** A process keeps its environment's marker for life, short of an exec; before its first exec it may come yet. */
  isMarkerFinal: boolean
  /** Serial of the last reading that met it. */
  reading: number
}

/** The same text says the same again. Whether a leader that has exited has threads that live, it does not say. */
const isSettled = ({ entry, isMarkerFinal }: Known) => isMarkerFinal && entry.state !== 'Z'

function newsOf(text: string, before: Known | undefined, hostId: HostId | undefined): Known {
  const stat = parseStat(text)
  const isKnown = before?.isMarkerFinal === true && before.entry.startTime === stat.startTime
  const marker = isKnown ? before.entry.marker : isKernelThread(stat) ? null : readMarker(stat, hostId)
  const isMarkerFinal = isKnown || marker !== null || !isYoung(stat)
  return { text, entry: { ...stat, alive: isAlive(stat), marker }, isMarkerFinal, reading: 0 }
}

function statOrUndefined(pid: number): ProcessStat | undefined {
  try {
    return parseStat(readKernelFile(`/proc/${pid}/stat`))
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

/** The pid that was given out last in this pid namespace: the fifth field of `/proc/loadavg`. */
const lastPid = () => Number(readKernelFile('/proc/loadavg').trim().split(' ')[4])

function isThread(pid: number): boolean {
  try {
    return !new RegExp(`^Tgid:\\s+${pid}$`, 'm').test(readKernelFile(`/proc/${pid}/status`))
  } catch (error) {
    if (isGone(error)) return false
    throw error
  }
}

/** Kernel and libc agree on 100 ticks a second for /proc on every platform that Node.js runs on. */
export const ticksPerSecond = 100

/** How long this process has run; 0 when it is gone. */
export function ageMs(identity: ProcessIdentity): number {
  return isRunning(identity) ? Math.max(0, (uptime() - Number(identity.startTime) / ticksPerSecond) * 1000) : 0
}

/** Between fork and exec a process still shows another environment: what is not there yet may come. */
const isYoung = (stat: ProcessStat) => uptime() * ticksPerSecond - Number(stat.startTime) < 2 * ticksPerSecond
