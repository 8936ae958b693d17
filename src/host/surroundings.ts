import { spawn } from 'node:child_process'
import { identityKey, type ProcessIdentity } from '../domain/process-identity.ts'
import type { Surroundings } from './membership.ts'
import { identityOfEntry, isEntryOf, isKernelThread, type ProcessEntry, type ProcessTable } from './process-table.ts'

export type SurroundingsOptions = {
  /** Runwarden itself, its database server. */
  protectedProcesses: () => ProcessIdentity[]
  /** Of all runs on this host. */
  shims: () => Iterable<ProcessIdentity>
  reapers: ReadonlySet<number>
}

/** This process and everybody above it, up to pid 1. */
export function selfAndAncestors(table: ProcessTable): Set<number> {
  const line = new Set<number>([1])
  for (let pid = process.pid; pid > 1 && !line.has(pid); pid = table.processes.get(pid)?.ppid ?? 0) line.add(pid)
  return line
}

/** Who is not to be touched, worked out once per table. */
export function makeSurroundings({ protectedProcesses, shims, reapers }: SurroundingsOptions) {
  const known = new WeakMap<ProcessTable, Surroundings>()
  return (table: ProcessTable): Surroundings => {
    const before = known.get(table)
    if (before !== undefined) return before
    const above = selfAndAncestors(table)
    const others = [...protectedProcesses(), ...shims()]
    const [pids, keys] = [new Set(others.map(({ pid }) => pid)), new Set(others.map(identityKey))]
    const surroundings: Surroundings = {
      reapers,
      untouchable: (entry) =>
        above.has(entry.pid) ||
        isKernelThread(entry) ||
        (pids.has(entry.pid) && keys.has(identityKey(identityOfEntry(entry)))),
    }
    known.set(table, surroundings)
    return surroundings
  }
}

/** The entry, or one above it, is one of these processes. */
export function descendsFrom(entry: ProcessEntry, table: ProcessTable, ancestors: readonly ProcessIdentity[]): boolean {
  const visited = new Set<number>()
  for (
    let at: ProcessEntry | undefined = entry;
    at !== undefined && !visited.has(at.pid);
    at = table.processes.get(at.ppid)
  ) {
    visited.add(at.pid)
    if (ancestors.some((identity) => isEntryOf(at, identity))) return true
  }
  return false
}

/** An orphan tells who adopted it. Builtins only, so that there is but one process to lose its parent. */
const orphanScript = `parent=$$
(
  until [ "$adopter" != "$parent" ]; do
    read -r stat </proc/self/stat
    set -- \${stat##*) }
    adopter=$2
  done
  echo "$adopter"
) &`
const orphanTimeoutMs = 5_000

/**
 * Who adopts the orphans of this process's descendants: pid 1, and a subreaper above us if there is one. Found by
 * making an orphan, since nothing in `/proc` says who is a subreaper.
 */
export function findReapers(): Promise<Set<number>> {
  return new Promise((resolve) => {
    const child = spawn('/bin/sh', ['-c', `adopter=$$\n${orphanScript}`], {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: {},
      cwd: '/',
      timeout: orphanTimeoutMs,
      killSignal: 'SIGKILL',
    })
    let said = ''
    child.stdout.on('data', (chunk) => {
      said += chunk
    })
    // Without an answer only pid 1 counts: one explanation fewer for a marker, never one more.
    child.once('error', () => resolve(new Set([1])))
    child.once('close', () =>
      resolve(new Set([1, Number(said.trim())].filter((pid) => pid > 0 && pid !== process.pid))),
    )
  })
}
