import { readdirSync, statSync } from 'node:fs'
import type { RunEventData } from '../domain/run-events.ts'
import { isGone } from '../os/process-identity.ts'
import { readKernelFile } from '../os/read-kernel-file.ts'
import type { Cgroup } from './cgroup.ts'
import type { Member } from './membership.ts'
import { entryKey, type ProcessEntry, ticksPerSecond } from './process-table.ts'

type Heartbeat = RunEventData<'HeartbeatRecorded'>
/** What costs a few small files per process: read for a heartbeat that is due, and no more often. */
export type ReadUsage = Pick<Heartbeat, 'rssBytes' | 'openFiles' | 'ioReadBytes' | 'ioWriteBytes'>

/** `/proc/<pid>/statm` counts pages of this size on x86-64 and on most arm64 kernels. */
const pageBytes = 4096

type Io = { read: number; write: number }
type Tally = Io & { ppid: number }

/** What the tree of one run takes of its machine. */
export class ResourceUsage {
  readonly #cgroup: Cgroup | null
  /** The cgroup has no account of CPU time, or there is none. */
  #countsTicks: boolean
  #cpuMs: number | undefined
  #cpuTicks = new Map<string, number>()
  #cpuTicksOfGone = 0
  #io = new Map<string, Tally>()
  readonly #ioOfGone: Io = { read: 0, write: 0 }
  /** What was told last. */
  readonly #ioTotal: Io

  /** @param before as the agent before this one last told it: totals never shrink */
  constructor(cgroup: Cgroup | null, before: ReadUsage) {
    this.#cgroup = cgroup
    this.#countsTicks = cgroup?.cpuMs() === undefined
    this.#ioTotal = { read: before.ioReadBytes ?? 0, write: before.ioWriteBytes ?? 0 }
  }

  /**
   * CPU time in milliseconds: the cgroup's own account where there is one, else what the members had when last seen;
   * undefined: they were not seen yet.
   */
  get cpuMs(): number | undefined {
    if (!this.#countsTicks) this.#cpuMs = this.#cgroup?.cpuMs() ?? this.#cpuMs
    return this.#cpuMs
  }

  /** Takes in one look: of what goes before the next one, nobody else keeps an account. */
  see(members: Map<number, Member>): void {
    if (!this.#countsTicks) return
    const before = this.#cpuTicks
    this.#cpuTicks = new Map()
    let ticks = 0
    for (const { entry } of members.values()) {
      const key = entryKey(entry)
      const used = entry.utimeTicks + entry.stimeTicks
      this.#cpuTicks.set(key, used)
      before.delete(key)
      ticks += used
    }
    for (const used of before.values()) this.#cpuTicksOfGone += used
    this.#cpuMs = ((ticks + this.#cpuTicksOfGone) * 1000) / ticksPerSecond
  }

  /** Of what may not be read (another account's), nothing is claimed. */
  read(alive: Member[]): ReadUsage {
    const entries = alive.map(({ entry }) => entry)
    const files = entries.flatMap((entry) => openFilesOf(entry) ?? [])
    const io = this.#ioBytes(entries)
    return {
      rssBytes: sum(entries.map(rssBytesOf)),
      ...(files.length > 0 ? { openFiles: sum(files) } : {}),
      ...(io === undefined ? {} : { ioReadBytes: io.read, ioWriteBytes: io.write }),
    }
  }

  /**
   * The kernel adds what a process did to its parent's account when that collects it; of orphans the last look counts.
   */
  #ioBytes(alive: ProcessEntry[]): Io | undefined {
    const before = this.#io
    const pids = new Set(alive.map(({ pid }) => pid))
    this.#io = new Map()
    for (const entry of alive) {
      const io = ioOf(entry)
      if (io !== undefined) this.#io.set(entryKey(entry), { ...io, ppid: entry.ppid })
    }
    for (const [key, { read, write, ppid }] of before) {
      if (this.#io.has(key) || pids.has(ppid)) continue
      this.#ioOfGone.read += read
      this.#ioOfGone.write += write
    }
    const all = [...this.#io.values(), this.#ioOfGone]
    const total = this.#ioTotal
    if (this.#io.size === 0 && total.read + total.write === 0) return undefined
    total.read = Math.max(total.read, sum(all.map(({ read }) => read)))
    total.write = Math.max(total.write, sum(all.map(({ write }) => write)))
    return { ...total }
  }
}

const sum = (numbers: number[]) => numbers.reduce((total, number) => total + number, 0)

const rssBytesOf = ({ pid }: ProcessEntry) =>
  Number(readOrUndefined(`/proc/${pid}/statm`)?.split(' ')[1] ?? 0) * pageBytes

/** What went to and came from storage; what the page cache gave is none of it. */
function ioOf({ pid }: ProcessEntry): Io | undefined {
  const text = readOrUndefined(`/proc/${pid}/io`)
  if (text === undefined) return undefined
  const field = (name: string) => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(text)?.[1] ?? 0)
  return { read: field('read_bytes'), write: field('write_bytes') }
}

function openFilesOf({ pid }: ProcessEntry): number | undefined {
  try {
    // Since Linux 6.2 the directory's size is the number of its files.
    return statSync(`/proc/${pid}/fd`).size || readdirSync(`/proc/${pid}/fd`).length
  } catch (error) {
    if (isUnreadable(error)) return undefined
    throw error
  }
}

function readOrUndefined(path: string): string | undefined {
  try {
    return readKernelFile(path)
  } catch (error) {
    if (isUnreadable(error)) return undefined
    throw error
  }
}

const isUnreadable = (error: unknown) =>
  isGone(error) || ['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')
