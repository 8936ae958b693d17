import type { ProcessIdentity } from '../domain/process-identity.ts'
import { readStat } from '../os/process-identity.ts'
import type { LadderRun } from './kill-ladder.ts'
import type { Member } from './membership.ts'
import { isRunning } from './process-table.ts'
import type { Look } from './receipt.ts'

export type TreeLook = Look & { alive: Member[] }

/**
 * One look at a run's tree. One that fails is proof of nothing, and finds those whom we know: a kill signals them all
 * the same. @param known of the run, by identity
 */
export async function lookAtTree(
  { root, tree, cgroup, visible, readTable }: Pick<LadderRun, 'root' | 'tree' | 'cgroup' | 'visible' | 'readTable'>,
  known: readonly ProcessIdentity[],
): Promise<TreeLook> {
  const seen = await readTable()
    .then((table) => ({ members: tree.observe(table), conclusive: table.conclusive && visible }))
    .catch((failure: Error) => ({
      members: stillThere(root === null ? known : [root, ...known]),
      conclusive: false,
      failure,
    }))
  const alive = [...seen.members.values()].filter(({ entry }) => entry.alive)
  const cgroupEmpty = cgroup === null ? null : !cgroup.populated()
  return { ...seen, alive, cgroupEmpty, visible }
}

function stillThere(known: readonly ProcessIdentity[]): Map<number, Member> {
  const entries = known.filter(isRunning).flatMap(({ pid }) => readStat(pid) ?? [])
  return new Map(
    entries.map((stat) => [
      stat.pid,
      { entry: { ...stat, alive: true, marker: null }, foundBy: new Set(['seen'] as const) },
    ]),
  )
}
