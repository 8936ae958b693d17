import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import type { ProcessIdentity } from '../src/domain/process-identity.ts'
import { isAlive, readIdentity, readStat } from '../src/os/process-identity.ts'

/**
 * `$0` processes, this shell among them. From four on, one has a session of its own, and one is a daemon that has left
 * its session and its parent: what agents leave behind when they start tools and servers.
 */
export const treeScript = `n=$0
if [ "$n" -ge 4 ]; then setsid sleep 1000 & (setsid sleep 1000 &); n=$((n-2)); fi
while [ "$n" -gt 1 ]; do sleep 1000 & n=$((n-1)); done
exec sleep 1000`

export const treeCommand = (processes: number) => ['sh', '-c', treeScript, String(processes)]

/** Started by this process, in a group of its own or in ours. */
export function spawnTree(processes: number, env: Record<string, string>, detached: boolean): ChildProcess {
  const [file = '', ...args] = treeCommand(processes)
  return spawn(file, args, { detached, stdio: 'ignore', env: { ...process.env, ...env } })
}

/** How long such a tree takes to end once each of its processes is sent SIGTERM, with nobody in between. */
export async function ownExitMs(processes: number): Promise<number> {
  const mark = randomUUID()
  const child = spawnTree(processes, { RUNWARDEN_BENCH_TREE: mark }, true)
  const exit = once(child, 'exit')
  let left = await untilGrown(mark, processes)
  const asked = performance.now()
  for (const { pid } of left) process.kill(pid, 'SIGTERM')
  for (; left.length > 0; left = living(left)) await setTimeout(1)
  const tookMs = performance.now() - asked
  await exit
  return tookMs
}

/** Everybody who runs the tree's program and has this in its environment. */
export function marked(mark: string): ProcessIdentity[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name) || !environmentOf(name).includes(mark)) return []
    const stat = readStat(Number(name))
    // A shell on its way to becoming a sleep is not there yet.
    return stat === undefined || stat.comm !== 'sleep' || ['Z', 'X'].includes(stat.state)
      ? []
      : (readIdentity(stat.pid) ?? [])
  })
}

function environmentOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1')
  } catch {
    // Gone, or another account's.
    return ''
  }
}

/** Counted from the process table. */
export async function untilGrown(mark: string, processes: number): Promise<ProcessIdentity[]> {
  for (;;) {
    const found = marked(mark)
    if (found.length >= processes) return found
    await setTimeout(20)
  }
}

/** A moment for whoever is dying, then those who are not. */
export async function survivorsOf(members: readonly ProcessIdentity[]): Promise<ProcessIdentity[]> {
  for (let look = 0; look < 10 && living(members).length > 0; look += 1) await setTimeout(50)
  return living(members)
}

export const living = (members: readonly ProcessIdentity[]) => members.filter((member) => isAlive(member))

export function endAll(members: readonly ProcessIdentity[]): void {
  for (const member of living(members)) process.kill(member.pid, 'SIGKILL')
}
