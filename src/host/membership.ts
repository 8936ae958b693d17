import type { ProcessIdentity } from '../domain/process-identity.ts'
import type { Membership } from '../domain/receipt.ts'
import { entryKey, isEntryOf, type ProcessEntry, type ProcessTable } from './process-table.ts'

/** What is known of one run's tree before a table is looked at. */
export type TreeClues = {
  runId: string
  root: ProcessIdentity | null
  /** Leads the session and group in which the root was born, and lives as long as the run; never a member itself. */
  shim: ProcessIdentity | null
  /** Keys (`entryKey`) of processes that were members before. */
  seen: ReadonlySet<string>
  /** What the run's cgroup listed, read after the table. */
  inCgroup: ReadonlySet<number>
  /** Of a registered process nobody set a marker, so one that is found means nothing. */
  marked: boolean
}

/** What is known of everybody else. */
export type Surroundings = {
  /** Never a member, nor a way to one: Runwarden and its ancestors, its database, shims, other runs' processes. */
  untouchable(entry: ProcessEntry): boolean
  /** Who gets the orphans of this machine's runs: pid 1, and a subreaper above Runwarden if there is one. */
  reapers: ReadonlySet<number>
}

export type Member = { entry: ProcessEntry; foundBy: Set<Membership> }

/**
 * The members of a run's tree in this table, dead ones included, by pid. Whoever cannot be told from a stranger is one.
 */
export function membersOf(table: ProcessTable, clues: TreeClues, surroundings: Surroundings): Map<number, Member> {
  const members = new Map<number, Member>()
  const pending: ProcessEntry[] = []

  const admit = (entry: ProcessEntry, by: Membership) => {
    const known = members.get(entry.pid)
    if (known !== undefined) {
      known.foundBy.add(by)
      return
    }
    if (entry.pid <= 1 || isShim(entry, clues) || surroundings.untouchable(entry)) return
    members.set(entry.pid, { entry, foundBy: new Set([by]) })
    pending.push(entry)
  }

  const { root, shim } = clues
  const rootEntry = root === null ? undefined : table.processes.get(root.pid)
  if (root !== null && isEntryOf(rootEntry, root)) admit(rootEntry, 'root')
  for (const pid of clues.inCgroup) {
    const entry = table.processes.get(pid)
    if (entry !== undefined) admit(entry, 'cgroup')
  }
  for (const key of clues.seen) {
    const entry = table.processes.get(Number(key.slice(0, key.indexOf(':'))))
    if (entry !== undefined && entryKey(entry) === key) admit(entry, 'seen')
  }
  // The shim's pid names its session and group for as long as the shim is there: nobody else can get that number.
  if (shim !== null && isEntryOf(table.processes.get(shim.pid), shim)) admitLedBy(shim.pid)
  for (const entry of clues.marked ? table.markedBy(clues.runId) : []) {
    if (isCorroborated(entry, table, clues, surroundings)) admit(entry, 'marker')
  }

  for (let entry = pending.pop(); entry !== undefined; entry = pending.pop()) {
    for (const child of table.childrenOf(entry.pid)) admit(child, 'descent')
    // A leader that is in the table still holds its number, so its session and group are its own.
    admitLedBy(entry.pid)
  }
  return members

  function admitLedBy(leader: number): void {
    for (const entry of table.inSession(leader)) if (entry.pid !== leader) admit(entry, 'session')
    for (const entry of table.inGroup(leader)) if (entry.pid !== leader) admit(entry, 'group')
  }
}

const isShim = (entry: ProcessEntry, { shim }: TreeClues) => shim !== null && isEntryOf(entry, shim)

/**
 * A marker alone proves nothing: an operator's shell may have inherited it. Its bearer is a member when its parent is
 * gone (it was handed to a reaper), it has no terminal, and it began after the root. A live parent outside the run, or
 * a reaper that bears the marker itself, explains the marker otherwise. Members by other means need no corroboration.
 */
function isCorroborated(
  entry: ProcessEntry,
  table: ProcessTable,
  { root, runId }: TreeClues,
  { reapers }: Surroundings,
): boolean {
  if (!reapers.has(entry.ppid) || entry.tty !== 0) return false
  if (table.processes.get(entry.ppid)?.marker === runId) return false
  return root === null || Number(entry.startTime) >= Number(root.startTime)
}
