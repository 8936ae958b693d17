import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DesiredRun } from '../../../src/domain/host-link.ts'
import type { ProcessIdentity } from '../../../src/domain/process-identity.ts'
import { isRunning } from '../../../src/host/process-table.ts'
import { signalProcess } from '../../../src/host/signals.ts'
import { readIdentity, readStat } from '../../../src/os/process-identity.ts'
import { createHostWorld, type HostWorld, tree } from '../../support/host-world.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'
import { waitUntil } from '../../support/wait-until.ts'

const stateOf = ({ pid }: ProcessIdentity) => readStat(pid)?.state
/** D: between vfork and the exec of a child that is stopped. */
const runs = (state: string | undefined) => state !== 'T' && state !== 'D'
const cpuOf = ({ pid }: ProcessIdentity) => {
  const stat = readStat(pid)
  return (stat?.utimeTicks ?? 0) + (stat?.stimeTicks ?? 0)
}
/** Counts into the file `beats` of its workspace; on SIGTERM it says so and ends. */
const beating = 'trap "echo asked >asked; exit 7" TERM; echo $$ >>pids; while :; do echo beat >>beats; sleep 0.02; done'

describe.each(['auto', 'off'] as const)('a pause, cgroups %s', (cgroups) => {
  let world: HostWorld
  let revision: number
  beforeEach(async () => {
    world = await createHostWorld({ cgroups })
    revision = 1
  })
  afterEach(() => world.end())

  /** As control would ask for it. */
  async function ask(run: DesiredRun, paused: boolean): Promise<DesiredRun> {
    revision += 1
    const wish = { ...run, pause: { paused, revision } }
    await world.host.want(wish)
    return wish
  }
  const pause = async (run: DesiredRun) => {
    const wish = await ask(run, true)
    await world.fact(run.runId, 'RunPaused')
    return wish
  }
  const freezes = async () => (await world.host.report()).level === 'cgroup-v2'
  const count = (run: DesiredRun, type: string) => world.types(run.runId).filter((each) => each === type).length
  const beats = (run: DesiredRun) => {
    const path = join(world.workspace(run.runId), 'beats')
    return existsSync(path) ? readFileSync(path, 'utf8').length : 0
  }
  const launchBeating = async () => {
    const run = await world.launch(['sh', '-c', beating])
    await waitUntil(() => beats(run) > 0, 'the run to beat')
    return run
  }
  /** Several looks of the host have passed. */
  async function looks(run: DesiredRun): Promise<void> {
    for (let look = 0; look < 3; look += 1) {
      const before = (await world.host.sampled(run.runId))?.at
      await waitUntil(async () => (await world.host.sampled(run.runId))?.at !== before, 'a look')
    }
  }
  async function expectStill(run: DesiredRun): Promise<void> {
    const before = beats(run)
    await looks(run)
    expect(beats(run)).toBe(before)
  }

  it('nobody runs once it is said, and everybody goes on afterwards', async () => {
    const run = await launchBeating()
    await pause(run)
    await expectStill(run)
    const facts = world.ofRun(run.runId).flatMap(({ body }) => (body.type === 'RunPaused' ? body.data : []))
    expect(facts).toEqual([
      { request: revision, method: (await freezes()) ? 'cgroup-freeze' : 'sigstop', processes: expect.any(Number) },
    ])
    const still = beats(run)
    const pausedBy = revision
    await ask(run, false)
    expect(await world.fact(run.runId, 'RunResumed')).toEqual({ request: pausedBy, cause: 'resume' })
    await waitUntil(() => beats(run) > still, 'the run to go on')
  })

  it('a whole family stands still: other sessions, daemons, those who ignore signals; whoever had stopped stays so', async () => {
    const run = await world.launch(['sh', tree('family.sh')])
    const members = await world.members(run.runId, 6)
    const stoppedByItself = await waitUntil(() => {
      const stopped = members.filter((member) => stateOf(member) === 'T')
      return stopped.length > 0 && stopped
    }, 'the one that stops itself')
    await pause(run)
    if (!(await freezes())) expect(members.map(stateOf).filter(runs)).toEqual([])
    await ask(run, false)
    await world.fact(run.runId, 'RunResumed')
    await looks(run)
    expect(members.filter((member) => stateOf(member) === 'T')).toEqual(stoppedByItself)
    expect(members.filter(isRunning)).toHaveLength(6)
  })

  it('a fork loop, with a child in another session, stays stopped', async () => {
    const run = await world.launch(['sh', '-c', `setsid sh "$0" & exec sh "$0"`, tree('fork-loop.sh')])
    const loops = await world.members(run.runId, 2)
    await pause(run)
    const used = () => loops.map(cpuOf)
    const before = used()
    await looks(run)
    expect(used()).toEqual(before)
    expect(loops.filter(isRunning)).toHaveLength(2)
  })

  it('whoever is woken by somebody else is stopped again', async () => {
    const run = await launchBeating()
    await pause(run)
    const [root] = await world.members(run.runId, 1)
    if (root === undefined) throw new Error('no root')
    signalProcess({ pid: root.pid, startTime: root.startTime }, 'SIGCONT')
    await looks(run)
    await expectStill(run)
    expect(count(run, 'RunPaused')).toBe(1)
  })

  it('asked for before the launch, it holds as soon as there is something to stop', async () => {
    const run = world.desired(['sh', '-c', beating])
    await ask(run, true)
    await world.fact(run.runId, 'RunPaused')
    await expectStill(run)
    expect(world.types(run.runId)).toEqual(['RunStarted', 'RunPaused'])
  })

  it('wishes that come twice, late, or one upon the other: the last one holds', async () => {
    const run = await launchBeating()
    const first = await pause(run)
    await world.host.want(first)
    await ask(run, false)
    await ask(run, true)
    await ask(run, false)
    await world.host.want(first)
    const still = beats(run)
    await waitUntil(() => beats(run) > still, 'the run to go on')
    await looks(run)
    expect(count(run, 'RunPaused')).toBe(count(run, 'RunResumed'))
    const before = beats(run)
    await waitUntil(() => beats(run) > before, 'the run to go on still')
  })

  it('pauses that are taken back before they are done leave nobody behind, and wake nobody who had stopped by itself', async () => {
    const run = await world.launch(['sh', tree('family.sh')])
    const members = await world.members(run.runId, 6)
    const stoppedByItself = await waitUntil(() => {
      const stopped = members.filter((member) => stateOf(member) === 'T')
      return stopped.length > 0 && stopped
    }, 'the one that stops itself')
    for (let time = 0; time < 10; time += 1) {
      const wishes = [ask(run, true), ask(run, false), ask(run, true)]
      await Promise.all(wishes)
    }
    await ask(run, false)
    await looks(run)
    await waitUntil(
      () => members.filter((member) => stateOf(member) === 'T').length <= stoppedByItself.length,
      'all others to go on',
    )
    expect(members.filter((member) => stateOf(member) === 'T')).toEqual(stoppedByItself)
    await world.restart()
    await world.fact(run.runId, 'RunAdopted')
    await looks(run)
    expect(members.filter((member) => stateOf(member) === 'T')).toEqual(stoppedByItself)
  })

  it('[R14] another host finds it paused, leaves it so, and lets it go on when asked', async () => {
    const run = await launchBeating()
    await pause(run)
    await world.restart()
    await world.fact(run.runId, 'RunAdopted')
    await expectStill(run)
    expect(count(run, 'RunPaused')).toBe(1)
    const still = beats(run)
    await ask(run, false)
    await world.fact(run.runId, 'RunResumed')
    await waitUntil(() => beats(run) > still, 'the run to go on')
  })

  it('[R5] [M1] a graceful kill lets it act on SIGTERM, within its grace; it ends proven', async () => {
    const run = await launchBeating()
    const wish = await pause(run)
    await world.host.want({ ...wish, kill: world.killOf('graceful', { graceMs: 60_000 }) })
    const { receipt } = await world.fact(run.runId, 'TreeGone')
    expect(receipt).toMatchObject({ proven: true, rootExit: { status: 7 } })
    const types = world.types(run.runId).filter((type) => ['RunPaused', 'RunResumed', 'SigtermSent'].includes(type))
    expect(types).toEqual(['RunPaused', 'SigtermSent', 'RunResumed'])
    expect((await world.fact(run.runId, 'RunResumed')).cause).toBe('kill')
  })

  it('[R7] a graceful kill of a run that stands still in a critical section lets it leave that first', async () => {
    const section = `echo '{"enter":{"id":"report","kind":"file_operations"}}' >>"$RUNWARDEN_PROGRESS"; touch entered
      until [ -e leave ]; do sleep 0.02; done; echo '{"exit":{"id":"report"}}' >>"$RUNWARDEN_PROGRESS"; echo left >left; sleep 1000`
    const run = await world.launch(['sh', '-c', section])
    const inside = (name: string) => join(world.workspace(run.runId), name)
    await waitUntil(() => existsSync(inside('entered')), 'the section')
    await world.fact(run.runId, 'CriticalSectionEntered')
    const wish = await pause(run)
    writeFileSync(inside('leave'), '')
    await looks(run)
    expect(existsSync(inside('left'))).toBe(false)
    const wait = 60_000
    const sectionLimits = { git_operations: wait, database_transactions: wait, file_operations: wait, api_calls: wait }
    await world.host.want({ ...wish, kill: world.killOf('graceful', { sectionLimits }) })
    const { receipt } = await world.fact(run.runId, 'TreeGone')
    expect(receipt).toMatchObject({ proven: true, deferral: { endedBy: 'safe-point' } })
    expect(readFileSync(inside('left'), 'utf8')).toBe('left\n')
    const types = world.types(run.runId)
    const order = ['RunPaused', 'KillDeferred', 'RunResumed', 'CriticalSectionExited', 'SigtermSent'] as const
    expect(order.map((type) => types.indexOf(type))).toEqual(
      order.map((type) => types.indexOf(type)).toSorted((a, b) => a - b),
    )
    expect(types.filter((type) => type === 'RunResumed')).toHaveLength(1)
  })

  it.each(['force', 'emergency'] as const)('[R4] [M1] a %s kill ends it as it stands', async (kind) => {
    const run = await world.launch(['sh', tree('family.sh')])
    const members = await world.members(run.runId, 6)
    const wish = await pause(run)
    await world.host.want({ ...wish, kill: world.killOf(kind) })
    const { receipt } = await world.fact(run.runId, 'TreeGone')
    expect(receipt.proven).toBe(true)
    expect(members.filter(isRunning)).toEqual([])
    expect(world.types(run.runId)).not.toContain('SigtermSent')
    await world.fact(run.runId, 'RunCleaned')
  })

  it('[R14] killed by a host that comes after the one that paused it', async () => {
    const run = await launchBeating()
    const wish = await pause(run)
    await world.restart()
    await world.host.want({ ...wish, kill: world.killOf('graceful', { graceMs: 60_000 }) })
    const { receipt } = await world.fact(run.runId, 'TreeGone')
    expect(receipt).toMatchObject({ proven: true, rootExit: { status: 7 } })
  })

  it('[R12] a process that something else started is paused with all that it started', async () => {
    const temporary = makeTemporaryDirectory()
    const [beatsOf, pids] = ['a', 'b'].map((name) => join(temporary.path, name))
    const loop = 'echo $$ >>"$1"; while :; do echo beat >>"$0"; sleep 0.02; done'
    const child = spawn('sh', ['-c', `setsid sh -c '${loop}' "$0" "$1" & ${loop}`, beatsOf ?? '', pids ?? ''], {
      ...{ detached: true, stdio: 'ignore', cwd: temporary.path },
    })
    const run: DesiredRun = world.desired(['unused'])
    try {
      const lines = () =>
        existsSync(pids ?? '')
          ? readFileSync(pids ?? '', 'utf8')
              .split('\n')
              .filter(Boolean)
          : []
      await waitUntil(() => lines().length === 2, 'both processes')
      const members = lines().flatMap((pid) => readIdentity(Number(pid)) ?? [])
      const [root] = members.filter(({ pid }) => pid === child.pid)
      if (root === undefined) throw new Error('no root')
      run.work = { kind: 'supervise', root, workspacePath: null }
      await world.host.want(run)
      await world.fact(run.runId, 'RunStarted')
      await pause(run)
      expect(members.map(stateOf).filter(runs)).toEqual([])
      await ask(run, false)
      await world.fact(run.runId, 'RunResumed')
      expect(members.map(stateOf)).not.toContain('T')
      await world.kill(run, 'force')
      await world.fact(run.runId, 'TreeGone')
    } finally {
      child.kill('SIGKILL')
      temporary.remove()
    }
  })
})
