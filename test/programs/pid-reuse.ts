// A host in a pid namespace of its own, in which the pids of dead processes are given to strangers: really, through
// ns_last_pid, which says where the kernel goes on counting. Prints one line of JSON for each case.
//   unshare --pid --fork --mount-proc sh -c '"$@"; exit' sh node pid-reuse.ts DIRECTORY auto|off
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { DesiredRun } from '../../src/domain/host-link.ts'
import type { RunId } from '../../src/domain/ids.ts'
import { isRunning } from '../../src/host/process-table.ts'
import { exists, readIdentity } from '../../src/os/process-identity.ts'
import { createHostWorld } from '../support/host-world.ts'
import { waitUntil } from '../support/wait-until.ts'

const [hostDirectory = '', cgroups] = process.argv.slice(2)
const world = await createHostWorld({ hostDirectory, cgroups: cgroups === 'off' ? 'off' : 'auto' })
const strangers: ChildProcess[] = []

/** A process of ours that gets the pid of a dead one. Another fork of this namespace may come first: then once more. */
async function takeOver(pid: number, runId: RunId): Promise<number> {
  await waitUntil(() => !existsSync(`/proc/${pid}`), `${pid} to be free`)
  for (let attempt = 1; attempt <= 50; attempt += 1) {
    writeFileSync('/proc/sys/kernel/ns_last_pid', String(pid - 1))
    // It leads a session and a group by the recycled number, and has even inherited the marker.
    const env = { PATH: process.env.PATH, RUNWARDEN_RUN_ID: runId }
    const stranger = spawn('sh', ['-c', 'sleep 1000 & exec sleep 1000'], { detached: true, stdio: 'ignore', env })
    if (stranger.pid === pid) {
      strangers.push(stranger)
      await waitUntil(() => inSessionOf(pid).length > 0, 'its child')
      return pid
    }
    process.kill(-(stranger.pid ?? 0), 'SIGKILL')
  }
  throw new Error(`nobody got the pid ${pid}`)
}

const inSessionOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)

async function looked(runId: RunId): Promise<void> {
  const now = new Date().toISOString()
  await waitUntil(async () => ((await world.host.sampled(runId))?.at ?? '') > now, 'a look at the run')
}

function say(name: string, result: object): void {
  process.stdout.write(`${JSON.stringify({ name, ...result })}\n`)
}

/** A child, and the leader of a session, die while the run lives; their numbers go to strangers. */
async function recycledMembers(): Promise<void> {
  const script = `
    sh -c 'echo $$ >>pids; exec sleep 1000' &
    setsid sh -c 'echo $$ >>pids; exec sleep 1000' &
    while :; do wait; sleep 0.05; done`
  const run = await world.launch(['sh', '-c', script])
  const members = await world.members(run.runId, 2)
  await looked(run.runId)
  const taken: number[] = []
  // One after the other: their pids are neighbours, and the first stranger has a child.
  for (const { pid } of members) {
    process.kill(pid, 'SIGKILL')
    taken.push(await takeOver(pid, run.runId))
  }
  await looked(run.runId)
  const theirs = taken.flatMap((pid) => [pid, ...inSessionOf(pid)]).flatMap((pid) => readIdentity(pid) ?? [])
  await world.kill(run, 'force')
  const { receipt } = await world.fact(run.runId, 'TreeGone')
  const touched = receipt.processes.filter(({ identity }) =>
    theirs.some(({ pid, startTime }) => pid === identity.pid && startTime === identity.startTime),
  )
  say('members', { proven: receipt.proven, strangers: theirs.length, alive: theirs.filter(isRunning).length, touched })
}

/** A registered process dies while no host is there, and its number goes to a stranger. */
async function recycledRoot(): Promise<void> {
  const registered = spawn('sleep', ['1000'], { stdio: 'ignore' })
  const root = readIdentity(registered.pid ?? 0)
  if (root === undefined) throw new Error('it has gone')
  const run: DesiredRun = {
    ...world.desired(['unused']),
    work: { kind: 'supervise', root, workspacePath: null },
  }
  await world.host.want(run)
  await looked(run.runId)
  await world.host.close()
  process.kill(root.pid, 'SIGKILL')
  await waitUntil(() => !exists(root), 'its end')
  const taken = await takeOver(root.pid, run.runId)
  const theirs = [taken, ...inSessionOf(taken)].flatMap((pid) => readIdentity(pid) ?? [])
  await world.restart()
  await world.kill(run, 'force')
  const { receipt } = await world.fact(run.runId, 'TreeGone')
  const signalled = receipt.processes.flatMap(({ signals }) => signals)
  say('root', {
    proven: receipt.proven,
    strangers: theirs.length,
    alive: theirs.filter(isRunning).length,
    touched: signalled,
  })
}

try {
  await recycledMembers()
  await recycledRoot()
} finally {
  for (const { pid } of strangers) process.kill(-(pid ?? 0), 'SIGKILL')
  await world.end()
}
