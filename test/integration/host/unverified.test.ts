import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DesiredRun } from '../../../src/domain/host-link.ts'
import { isRunning } from '../../../src/host/process-table.ts'
import { canHang, mountHanging } from '../../support/hanging-filesystem.ts'
import { createHostWorld, type HostWorld } from '../../support/host-world.ts'
import { startProgram } from '../../support/program.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'
import { waitUntil } from '../../support/wait-until.ts'

const stuckRuns = 12

describe.skipIf(!canHang()).each(['auto', 'off'] as const)(
  'processes that SIGKILL cannot end (state D, on a real file system that hangs), cgroups %s',
  (cgroups) => {
    let world: HostWorld
    let directory: ReturnType<typeof makeTemporaryDirectory>
    let hanging: Awaited<ReturnType<typeof mountHanging>>
    beforeEach(async () => {
      directory = makeTemporaryDirectory()
      hanging = await mountHanging(join(directory.path, 'hanging'))
      world = await createHostWorld({ cgroups, capacity: stuckRuns + 2 })
    })
    afterEach(async () => {
      await hanging.release()
      await world.end()
      directory.remove()
    })

    /** A run whose root no signal ends. */
    async function launchStuck(): Promise<DesiredRun> {
      const run = await world.launch(['cat', join(hanging.path, randomUUID())])
      const { root } = await world.fact(run.runId, 'RunStarted')
      await waitUntil(() => hanging.holds(root.pid), 'the root to be held')
      return run
    }

    async function launchMortal(): Promise<DesiredRun> {
      const run = await world.launch(['sleep', '1000'])
      await world.fact(run.runId, 'RunStarted')
      return run
    }

    it('[M1] [R11] many at once: each is told by its deadline with pid, state and wchan, and delays no other kill', async () => {
      const stuck = await Promise.all(Array.from({ length: stuckRuns }, launchStuck))
      const [together, later] = [await launchMortal(), await launchMortal()]
      await Promise.all(stuck.map((run) => world.kill(run, 'force', { proofDeadlineMs: 600 })))
      await world.kill(together)
      await expectInTime(together)
      for (const { runId } of stuck) await expectUnproven(runId)
      await world.kill(later)
      await expectInTime(later)
      expect((await world.host.report()).slots.used).toBe(stuckRuns)
      for (const { runId } of stuck) {
        expect(world.types(runId)).not.toContain('TreeGone')
        expect(existsSync(world.workspace(runId))).toBe(true)
      }

      await hanging.release()
      for (const { runId } of stuck) {
        const { receipt } = await world.fact(runId, 'TreeGone')
        expect(receipt).toMatchObject({ proven: true, rootExit: { status: 137 } })
        expect(receipt.processes.filter(({ goneAt }) => goneAt === null)).toEqual([])
        await world.fact(runId, 'RunCleaned')
        expect(world.types(runId).filter((type) => type === 'TreeNotProven')).toHaveLength(1)
      }
      expect((await world.host.report()).slots.used).toBe(0)
    })

    it('[M1] [R14] a host that comes back goes on looking, and says so again to nobody', async () => {
      const run = await launchStuck()
      await world.kill(run, 'force', { proofDeadlineMs: 300 })
      await expectUnproven(run.runId)
      await world.restart()
      await waitUntil(async () => (await world.host.report()).slots.used === 1, 'its slot to be held')
      await hanging.release()
      expect((await world.fact(run.runId, 'TreeGone')).receipt.proven).toBe(true)
      expect(world.types(run.runId).filter((type) => type === 'TreeNotProven')).toHaveLength(1)
    })

    async function expectUnproven(runId: string): Promise<void> {
      const { root } = await world.fact(runId, 'RunStarted')
      const { receipt } = await world.fact(runId, 'TreeNotProven')
      expect(receipt.proven).toBe(false)
      expect(receipt.checks.filter(({ passed }) => passed === false)).not.toEqual([])
      const [known] = receipt.processes.filter(({ identity }) => identity.pid === root.pid)
      expect(known).toMatchObject({ identity: root, state: 'D', goneAt: null })
      expect(known?.wchan).toMatch(/\w/)
      expect(known?.signals.map(({ signal }) => signal)).toContain('SIGKILL')
      expect(isRunning(root)).toBe(true)
    }

    async function expectInTime({ runId }: DesiredRun): Promise<void> {
      const { receipt } = await world.fact(runId, 'TreeGone')
      const { requestedAt, provenAt = '' } = receipt.timings
      expect(receipt.proven).toBe(true)
      expect(Date.parse(provenAt) - Date.parse(requestedAt)).toBeLessThan(world.killOf('force').proofDeadlineMs)
    }
  },
)

const isRoot = process.getuid?.() === 0

it.skipIf(!isRoot)(
  '[M1] a host in another pid namespace sees nothing of its runs: not proven, and nobody is signalled',
  async () => {
    const world = await createHostWorld()
    const run = await world.launch(['sleep', '1000'])
    const { root } = await world.fact(run.runId, 'RunStarted')
    await world.host.close()
    const kill = world.killOf('force', { proofDeadlineMs: 300 })
    const elsewhere = startProgram('host.ts', [world.hostDirectory, JSON.stringify({ ...run, kill })], {
      within: ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'],
    })
    try {
      const said = () => readFileSync(join(world.directory(run.runId), 'facts.jsonl'), 'utf8')
      await waitUntil(() => said().includes('TreeNotProven'), 'it to be told')
      expect(isRunning(root)).toBe(true)
      await elsewhere.end('SIGKILL')
      await world.restart()
      const { receipt } = await world.fact(run.runId, 'TreeNotProven')
      const scan = receipt.checks.find(({ name }) => name === 'scan-conclusive')
      expect(scan).toMatchObject({ passed: false, detail: 'the run lives in another pid namespace' })
      expect((await world.fact(run.runId, 'TreeGone')).receipt.proven).toBe(true)
      expect(isRunning(root)).toBe(false)
    } finally {
      await elsewhere.end('SIGKILL')
      await world.end()
    }
  },
)

describe.skipIf(!canHang())('a workspace on a file system that hangs', () => {
  let world: HostWorld
  let directory: ReturnType<typeof makeTemporaryDirectory>
  let hanging: Awaited<ReturnType<typeof mountHanging>>
  beforeEach(async () => {
    directory = makeTemporaryDirectory()
    hanging = await mountHanging(join(directory.path, 'hanging'))
    world = await createHostWorld()
  })
  afterEach(async () => {
    await hanging.release()
    await world.end()
    directory.remove()
  })

  const inside = () => ({ workspace: { kind: 'EXISTING' as const, path: join(hanging.path, 'work') } })

  it('[R11] [M1] at a launch: that run fails and says why, and no other kill waits meanwhile', async () => {
    const other = await world.launch(['sleep', '1000'])
    await world.fact(other.runId, 'RunStarted')
    const run = await world.launch(['true'], inside())
    await world.kill(other)
    expect((await world.fact(other.runId, 'TreeGone')).receipt.proven).toBe(true)
    expect(world.types(run.runId)).not.toContain('LaunchFailed')
    expect(await world.fact(run.runId, 'LaunchFailed')).toMatchObject({
      code: 'WORKSPACE_UNREADABLE',
      message: expect.stringMatching(/did not answer within 5 s/),
    })
  })

  it('[R8] [R11] at the cleanup: the step says so, and no other kill waits meanwhile', async () => {
    const link = join(directory.path, 'link')
    mkdirSync(join(directory.path, 'work'))
    symlinkSync(join(directory.path, 'work'), link)
    const run = await world.launch(['sleep', '1000'], { workspace: { kind: 'EXISTING', path: link } })
    const other = await world.launch(['sleep', '1000'])
    for (const { runId } of [run, other]) await world.fact(runId, 'RunStarted')
    rmSync(link)
    symlinkSync(join(hanging.path, 'work'), link)
    await world.kill(run)
    expect((await world.fact(run.runId, 'TreeGone')).receipt.proven).toBe(true)
    await world.kill(other)
    await world.fact(other.runId, 'RunCleaned')
    const failed = await world.fact(run.runId, 'CleanupStepFailed')
    expect(failed).toMatchObject({ step: 'git-locks', error: expect.stringMatching(/did not answer within 5 s/) })
  })
})
