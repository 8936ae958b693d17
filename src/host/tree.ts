import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import type { RunId } from '../domain/ids.ts'
import type { ProcessIdentity } from '../domain/process-identity.ts'
import { isGone, machineIdentity, readStat } from '../os/process-identity.ts'
import type { Cgroup } from './cgroup.ts'
import { type Member, membersOf, type Surroundings } from './membership.ts'
import { entryKey, isAlive, isOfThisMachine, type ProcessEntry, type ProcessTable, tableOf } from './process-table.ts'

/** Which run a process was found to belong to first, by `entryKey`; nobody belongs to two. */
export type Owners = Map<string, RunId>

export type TreeOptions = {
  runId: RunId
  root: ProcessIdentity | null
  shim: ProcessIdentity | null
  cgroup: Cgroup | null
  /** False for a registered process. */
  marked: boolean
  /** Where members are remembered that a restarted host could not find again. */
  memoryPath: string
  owners: Owners
  /** Everybody but the tree's members, in this table. */
  surroundings: (table: ProcessTable) => Surroundings
}

/** Remembered across restarts, at most. */
const rememberedMax = 2000

/** The process tree of one run: who belongs to it now, and who did. */
export class Tree {
  readonly options: TreeOptions
  #seen: Set<string>
  #remembered = ''
  #serial = 0
  /** Why members are remembered in memory only; undefined while all is well. */
  failure: Error | undefined

  constructor(options: TreeOptions) {
    this.options = options
    this.#seen = new Set(recall(options.memoryPath))
    for (const key of this.#seen) options.owners.set(key, options.runId)
  }

  /** Members in this table, dead ones included. They are remembered until a table shows that they are gone. */
  observe(table: ProcessTable): Map<number, Member> {
    const { cgroup, owners, runId, surroundings } = this.options
    const { table: complete, inCgroup } = withCgroup(table, cgroup)
    const { untouchable, reapers } = surroundings(complete)
    const members = membersOf(
      complete,
      { ...this.options, seen: this.#seen, inCgroup },
      {
        reapers,
        untouchable: (entry) => {
          const owner = owners.get(entryKey(entry))
          return (owner !== undefined && owner !== runId) || untouchable(entry)
        },
      },
    )
    // Whoever looked at an older table meanwhile must not make the newer one's members forgotten.
    if (table.serial >= this.#serial) this.#remember(members)
    this.#serial = Math.max(this.#serial, table.serial)
    return members
  }

  #remember(members: Map<number, Member>): void {
    const { owners, runId, memoryPath } = this.options
    const now = new Set<string>()
    const unlisted: string[] = []
    for (const { entry, foundBy } of members.values()) {
      const key = entryKey(entry)
      now.add(key)
      owners.set(key, runId)
      if (!foundBy.has('cgroup') && entry.alive) unlisted.push(key)
    }
    let isSame = now.size === this.#seen.size
    for (const key of this.#seen) {
      if (now.has(key)) continue
      isSame = false
      owners.delete(key)
    }
    // What is kept for long and then replaced costs more to collect than to compare.
    if (!isSame) this.#seen = now
    const memory: Memory = { ...machineIdentity(), keys: unlisted.slice(0, rememberedMax) }
    const content = JSON.stringify(memory)
    if (content === this.#remembered) return
    this.#remembered = content
    try {
      // Not synced: after a crash of the machine there is nobody left to remember.
      writeFileSync(`${memoryPath}.new`, content, { mode: 0o600 })
      renameSync(`${memoryPath}.new`, memoryPath)
      this.failure = undefined
    } catch (error) {
      // Nobody is forgotten while this host lives, and a kill must not stop for a full disk.
      this.#remembered = ''
      this.failure = error as Error
    }
  }

  forget(): void {
    for (const key of this.#seen) this.options.owners.delete(key)
    this.#seen.clear()
  }
}

/** Keys hold no boot and no namespace, so they count only in those in which they were written. */
type Memory = { bootId: string; pidNamespace: string; keys: string[] }

export function recall(path: string): string[] {
  try {
    const memory: Memory = JSON.parse(readFileSync(path, 'utf8'))
    return isOfThisMachine(memory) ? memory.keys : []
  } catch (error) {
    // A torn file is a lost memory, as is none.
    if (isGone(error) || error instanceof SyntaxError) return []
    throw error
  }
}

/**
 * The cgroup's list is read after the table: a pid in both is the same process, or the table's one is gone by now,
 * which the check before each signal finds. Members born in between are added.
 */
function withCgroup(table: ProcessTable, cgroup: Cgroup | null): { table: ProcessTable; inCgroup: Set<number> } {
  const inCgroup = cgroup?.pids() ?? new Set<number>()
  const newborn = [...inCgroup].filter((pid) => !table.processes.has(pid)).flatMap((pid) => readStat(pid) ?? [])
  if (newborn.length === 0 || cgroup === null) return { table, inCgroup }
  // Looked at again: the pid may have become a stranger's before its stat was read.
  const still = cgroup.pids()
  const entries = newborn
    .filter(({ pid }) => still.has(pid))
    .map((stat): ProcessEntry => ({ ...stat, alive: isAlive(stat), marker: null }))
  return { table: tableOf([...table.processes.values(), ...entries], table), inCgroup: still }
}
