import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isRunning, ProcessReader } from '../../../src/host/process-table.ts'
import { readIdentity } from '../../../src/os/process-identity.ts'
import { createHostWorld, type HostWorld, tree } from '../../support/host-world.ts'
import { waitUntil } from '../../support/wait-until.ts'

describe.each(['auto', 'off'] as const)('a kill, cgroups %s', (cgroups) => {
  let world: HostWorld
  beforeEach(async () => {
    world = await createHostWorld({ cgroups })
  })
  afterEach(() => world.end())

  it('[R6] [R5] [M1] SIGTERM, grace, SIGKILL: nobody of the family is left, and the receipt names them', async () => {
    const run = await world.launch(['sh', tree('family.sh')])
    const members = await world.members(run.runId, 6)
    // The daemon is known once its parent was seen with it, or by its marker.
    await world.kill(run, 'graceful')
    const { receipt } = await world.fact(run.runId, 'TreeGone')
    expect(members).toHaveLength(6)
    expect(members.filter(isRunning)).toEqual([])
    expect(receipt.proven).toBe(true)
    expect(receipt.rootExit?.status).toBe(143)
    expect(receipt.checks.filter(({ passed }) => passed === false)).toEqual([])
    const named = receipt.processes.map(({ identity }) => identity.pid)
    for (const { pid } of members) expect(named).toContain(pid)
    for (const process of receipt.processes) expect(process.goneAt).not.toBeNull()
    await world.fact(run.runId, 'RunCleaned')
    expect(world.types(run.runId)).toEqual([
      ...['RunStarted', 'SigtermSent', 'ProcessExited', 'SigkillSent', 'TelemetrySummarised', 'TreeGone'],
      ...['CleanupStepCompleted', 'WorkspaceSalvaged', 'CleanupStepCompleted', 'CleanupStepCompleted'],
      ...['CleanupStepCompleted', 'RunCleaned'],
    ])
    expect(world.ofRun(run.runId).map(({ sequence }) => sequence)).toEqual(
      world.ofRun(run.runId).map((_, index) => index + 1),
    )
  })

  it('[R5] [M1] what ends on SIGTERM is proven by the look that finds nobody; where there is no cgroup, by two', async () => {
    const run = await world.launch([
      'sh',
      '-c',
      'for n in 1 2; do sleep 1000 & echo $! >>pids; done; echo $$ >>pids; wait',
    ])
    await world.members(run.runId, 3)
    await world.kill(run, 'graceful')
    const { receipt } = await world.fact(run.runId, 'TreeGone')
    expect(receipt.checks.filter(({ passed }) => passed === false)).toEqual([])
    expect(receipt.processes.map(({ signals }) => signals.map(({ signal }) => signal))).toEqual([
      ...[['SIGTERM'], ['SIGTERM'], ['SIGTERM']],
    ])
    const ladder = readFileSync(join(world.directory(run.runId), 'ladder.jsonl'), 'utf8')
    const steps = ladder.split('\n').flatMap((line) => /"step":"(\w+)"/.exec(line)?.[1] ?? [])
    expect(steps).toEqual(['wanted', 'begun', 'terminating', 'met', ...(cgroups === 'off' ? ['proving'] : [])])
  })

  it('[R4] force goes straight to SIGKILL', async () => {
    const run = await world.launch(['sh', tree('family.sh')])
    const members = await world.members(run.runId, 6)
    await world.kill(run, 'force')
    const { receipt } = await world.fact(run.runId, 'TreeGone')
    expect(members.filter(isRunning)).toEqual([])
    expect(receipt.rootExit?.status).toBe(137)
    expect(world.types(run.runId)).not.toContain('SigtermSent')
  })

  it('[R6] a fork loop with a steady parent is ended and proven gone', async () => {
    const run = await world.launch(['sh', tree('fork-loop.sh')])
    const members = await world.members(run.runId, 1)
    await world.kill(run, 'force')
    const { receipt } = await world.fact(run.runId, 'TreeGone')
    expect(receipt.proven).toBe(true)
    expect(members.filter(isRunning)).toEqual([])
  })

  it('[R11] a stronger kill pre-empts a running grace; the same one joins it', async () => {
    const run = await world.launch(['sh', '-c', 'trap "" TERM; while :; do sleep 0.2; done'])
    await world.fact(run.runId, 'RunStarted')
    await waitUntil(async () => isRunning((await world.fact(run.runId, 'RunStarted')).root), 'the root')
    await world.kill(run, 'graceful', { graceMs: 60_000 })
    await world.fact(run.runId, 'SigtermSent')
    await world.kill(run, 'graceful', { graceMs: 1 })
    await world.kill(run, 'emergency')
    await world.fact(run.runId, 'TreeGone')
    expect(world.types(run.runId).filter((type) => type === 'SigtermSent')).toHaveLength(1)
  })

  it('[R6] a root that ended by itself keeps its outcome, and what it left behind is ended', async () => {
    const run = await world.launch(['sh', '-c', 'sleep 1000 & trap "" TERM; setsid sleep 1000 & exit 3'])
    const { receipt } = await world.fact(run.runId, 'TreeGone')
    expect(receipt.rootExit?.status).toBe(3)
    expect(receipt.processes).toHaveLength(2)
    const types = world.types(run.runId)
    expect(types.indexOf('ProcessExited')).toBeLessThan(types.indexOf('SigtermSent'))
    expect((await world.fact(run.runId, 'SigkillSent')).cause).toBe('leftovers')
  })

  it('[R6] a daemon with a cleared environment that was seen before, or is in the cgroup, does not get away', async () => {
    const run = await world.launch(['sh', tree('cleared-daemon.sh'), '0.5'])
    const [daemon] = await world.members(run.runId, 1)
    const { receipt } = await world.fact(run.runId, 'TreeGone')
    expect(daemon && isRunning(daemon)).toBe(false)
    expect(receipt.processes.map(({ identity }) => identity.pid)).toContain(daemon?.pid)
  })

  it('[R6] a stranger that inherited the marker, with a live parent outside the run, is left alone', async () => {
    const run = await world.launch(['sleep', '1000'])
    await world.fact(run.runId, 'RunStarted')
    const stranger = spawn('sleep', ['1000'], {
      env: { RUNWARDEN_RUN_ID: run.runId, PATH: process.env.PATH },
      detached: true,
      stdio: 'ignore',
    })
    try {
      await once(stranger, 'spawn')
      const identity = readIdentity(stranger.pid as number)
      await world.kill(run, 'force')
      const { receipt } = await world.fact(run.runId, 'TreeGone')
      expect(identity && isRunning(identity)).toBe(true)
      expect(receipt.processes.map((process) => process.identity.pid)).not.toContain(stranger.pid)
    } finally {
      stranger.kill('SIGKILL')
    }
  })

  it('[R6] a daemon of another Runwarden’s run of the same id is left alone', async () => {
    const run = await world.launch(['sleep', '1000'])
    await world.fact(run.runId, 'RunStarted')
    const { PATH } = process.env
    // Orphaned and without a terminal, as whoever belongs to the run may be.
    const started = spawnSync('setsid', ['--fork', 'sh', '-c', 'echo $$; exec sleep 1000 >/dev/null 2>&1'], {
      env: { RUNWARDEN_RUN_ID: run.runId, RUNWARDEN_HOST_ID: 'host_0123456789ab', PATH },
      encoding: 'utf8',
    })
    const identity = readIdentity(Number(started.stdout))
    try {
      await world.kill(run, 'force')
      expect((await world.fact(run.runId, 'TreeGone')).receipt.processCount).toBe(1)
      expect(identity && isRunning(identity)).toBe(true)
    } finally {
      if (identity !== undefined && isRunning(identity)) process.kill(identity.pid, 'SIGKILL')
    }
  })

  it('[R10] a kill that comes with the launch, and rapid repeated ones, end in one termination', async () => {
    const run = world.desired(['sleep', '1000'])
    const kills = Array.from({ length: 20 }, () => world.host.want({ ...run, kill: world.killOf('force') }))
    await Promise.all([world.host.want(run), ...kills])
    await world.fact(run.runId, 'RunCleaned')
    expect(world.types(run.runId).filter((type) => type === 'TreeGone')).toHaveLength(1)
    await world.host.want({ ...run, kill: world.killOf('emergency') })
    await waitUntil(async () => !(await world.host.known()).includes(run.runId), 'the run to be finished')
  })

  it('[R1] a run that waits for a slot is killed without ever being launched', async () => {
    await world.restart({ capacity: 1 })
    const first = await world.launch(['sleep', '1000'])
    const second = await world.launch(['sleep', '1000'])
    await world.fact(first.runId, 'RunStarted')
    await world.kill(second)
    const { receipt } = await world.fact(second.runId, 'TreeGone')
    expect(receipt).toMatchObject({ proven: true, root: null, processCount: 0 })
    expect(world.types(second.runId)).not.toContain('RunStarted')
    expect((await world.host.report()).slots).toEqual({ capacity: 1, used: 1, waiting: 0 })
  })
})

it('[M1] [R11] the many short lives of a busy machine do not stand in the way of a proof', async () => {
  const world = await createHostWorld({ cgroups: 'off' })
  const strangers = [1, 2].map(() => spawn('sh', ['-c', 'while :; do /bin/true; done'], { stdio: 'ignore' }))
  try {
    const reader = new ProcessReader()
    const conclusive: boolean[] = []
    for (let look = 0; look < 6; look += 1) conclusive.push((await reader.read()).conclusive)
    expect(conclusive.filter(Boolean).length).toBeGreaterThanOrEqual(4)
    const run = await world.launch(['sleep', '1000'])
    await world.fact(run.runId, 'RunStarted')
    await world.kill(run, 'force')
    expect((await world.fact(run.runId, 'TreeGone')).receipt.proven).toBe(true)
  } finally {
    for (const stranger of strangers) stranger.kill('SIGKILL')
    await world.end()
  }
})

it('[M1] without cgroups a chain of processes that replace themselves is never called gone while it lives', async () => {
  const world = await createHostWorld({ cgroups: 'off' })
  const run = await world.launch(['sh', tree('chain.sh')])
  // Its workspace goes with its last link.
  const workspace = world.workspace(run.runId)
  const stop = () => existsSync(workspace) && writeFileSync(join(workspace, 'stop'), '')
  try {
    const ended = () => world.types(run.runId).find((type) => type === 'TreeNotProven' || type === 'TreeGone')
    await world.fact(run.runId, 'RunStarted')
    await world.kill(run, 'force', { proofDeadlineMs: 400 })
    const said = await waitUntil(ended, 'an answer')
    if (said === 'TreeGone') expect(await lives(run.runId)).toBe(false)
    stop()
    expect((await world.fact(run.runId, 'TreeGone')).receipt.proven).toBe(true)
    expect(await lives(run.runId)).toBe(false)
  } finally {
    stop()
    await world.end()
  }
})

/** Looked for long enough that a living chain would have shown a link. */
async function lives(runId: string): Promise<boolean> {
  const reader = new ProcessReader()
  for (let look = 0; look < 20; look += 1) {
    if ((await reader.read()).markedBy(runId).some(({ alive }) => alive)) return true
  }
  return false
}
