import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { isRunning } from '../../../src/host/process-table.ts'
import { createHostWorld, type HostWorld } from '../../support/host-world.ts'
import { waitUntil } from '../../support/wait-until.ts'

const sh = (script: string) => ['sh', '-c', script]
const runDirectory = '"$(dirname "$(dirname "$RUNWARDEN_PROGRESS")")"'
/** The run's own cgroup, where cgroup v2 is mounted. */
const ownCgroup = `"$(sed -n 's/.* \\(\\/[^ ]*\\) .* - cgroup2 .*/\\1/p' /proc/self/mountinfo | head -1)$(sed -n 's/^0:://p' /proc/self/cgroup)"`

describe('a run that works against its own supervision', () => {
  let world: HostWorld
  afterEach(() => world.end())

  it.each([
    ['kill -9 0', 137],
    ['trap "" USR1; kill -USR1 0; exit 7', 7],
    ['trap "" QUIT; kill -QUIT 0; exit 7', 7],
    ['kill -9 -$$', 137],
  ])('[R12] %s in it does not reach the shim: the exit status is kept', async (script, status) => {
    world = await createHostWorld()
    const run = await world.launch(sh(script))
    expect((await world.fact(run.runId, 'TreeGone')).receipt.rootExit?.status).toBe(status)
  })

  it.each([
    ['exits', 'kill -STOP $PPID; exit 4', undefined, 4],
    ['is killed', 'kill -STOP $PPID; echo stopped; exec sleep 1000', 'force', 137],
  ] as const)('[R8] its stopped shim is woken when it %s: the status is kept, and no shim stays', async (...row) => {
    const [, script, kill, status] = row
    world = await createHostWorld()
    const run = await world.launch(sh(script))
    const { shim } = await world.fact(run.runId, 'RunStarted')
    if (kill !== undefined) {
      await waitUntil(async () => (await world.output(run.runId)) === 'stopped\n', 'the shim to be stopped')
      await world.kill(run, kill)
    }
    expect((await world.fact(run.runId, 'TreeGone')).receipt.rootExit?.status).toBe(status)
    await waitUntil(() => shim !== null && !isRunning(shim), 'the shim to end')
  })

  it.each([
    ['a cgroup inside its own', `cgroup=${ownCgroup}; mkdir "$cgroup/inner"; cgroup=$cgroup/inner`],
    ['its own cgroup', `cgroup=${ownCgroup}`],
  ])('[R6] [M1] %s made threaded, whose members cannot be listed, does not stop its kill', async (_name, choose) => {
    world = await createHostWorld()
    const run = await world.launch(
      sh(`${choose}; echo threaded >"$cgroup/cgroup.type"; setsid sleep 1000 & echo made; exec sleep 1000`),
    )
    await waitUntil(async () => (await world.output(run.runId)).endsWith('made\n'), 'the cgroup')
    const { root } = await world.fact(run.runId, 'RunStarted')
    await world.kill(run, 'force')
    const { receipt } = await world.fact(run.runId, 'TreeGone')
    expect(receipt.proven).toBe(true)
    expect(isRunning(root)).toBe(false)
    expect((await world.fact(run.runId, 'RunCleaned')).failedSteps).toEqual([])
  })

  it('[R6] [M1] cgroups that it makes deeper than a path can say do not stop its kill', async () => {
    world = await createHostWorld()
    const base = /below (\/.*)$/.exec((await world.host.report()).levelDetail)?.[1]
    if (base === undefined) return
    const name = 'd'.repeat(250)
    const run = await world.launch(
      sh(
        `cd ${ownCgroup} && { mkdir -p 1/2/3/4/5/6/7/8/9/10/11/12 && ! mkdir 1/2/3/4/5/6/7/8/9/10/11/12/13 && echo bounded; }
         for file in depth descendants; do echo max >cgroup.max.$file; done
         i=0; while [ $i -lt 20 ]; do mkdir ${name} && cd ./${name}; i=$((i + 1)); done
         echo 0 >cgroup.procs; trap '' TERM; echo made; exec sleep 1000`,
      ),
    )
    try {
      await waitUntil(async () => (await world.output(run.runId)).endsWith('made\n'), 'the cgroups')
      expect(await world.output(run.runId)).toContain('bounded\n')
      const { root } = await world.fact(run.runId, 'RunStarted')
      await world.kill(run)
      expect((await world.fact(run.runId, 'TreeGone')).receipt.proven).toBe(true)
      expect(isRunning(root)).toBe(false)
    } finally {
      execFileSync('find', [join(base, `run-${run.runId.slice('run_'.length)}`), '-depth', '-type', 'd', '-delete'])
    }
  })

  it.each(['exit 3', 'exec sleep 1000'])(
    '[R6] [R8] one that removes its own directory (then: %s) is ended, with proof, and its cgroup is removed',
    async (then) => {
      world = await createHostWorld()
      // The host goes on writing there meanwhile, which makes a single rm give up.
      const run = await world.launch(sh(`while [ -e ${runDirectory} ]; do rm -rf ${runDirectory}; done; ${then}`))
      const gone = () => !existsSync(world.directory(run.runId))
      await waitUntil(gone, 'the directory to be gone')
      if (then !== 'exit 3') await world.kill(run, 'force')
      expect((await world.fact(run.runId, 'TreeGone')).receipt.proven).toBe(true)
      await world.fact(run.runId, 'RunCleaned')
      expect(world.types(run.runId)).not.toContain('LaunchFailed')
      const { levelDetail } = await world.host.report()
      const base = /below (\/.*)$/.exec(levelDetail)?.[1]
      if (base !== undefined) expect(readdirSync(base)).not.toContain(`run-${run.runId.slice('run_'.length)}`)
    },
  )
})

it('[R26] no line is lost or shown twice while output is moved away under a run that keeps writing', async () => {
  const world = await createHostWorld({ outputCapBytes: 40_000, sampleIntervalMs: 50 })
  try {
    const run = await world.launch(
      sh('i=10000; while [ $i -lt 60000 ]; do echo $i; i=$((i+1)); [ $((i % 50)) -ne 0 ] || sleep 0.002; done'),
    )
    const seen: number[] = []
    let [offset, rest] = [0, '']
    await waitUntil(
      async () => {
        const chunk = await world.host.readOutput(run.runId, offset, 1024 * 1024)
        if (chunk === undefined) return false
        offset = chunk.next
        const lines = `${rest}${Buffer.from(chunk.data).toString('latin1')}`.split('\n')
        rest = lines.pop() ?? ''
        seen.push(...lines.map(Number))
        return chunk.ended
      },
      'the end of the output',
      20_000,
    )
    expect(existsSync(join(world.directory(run.runId), 'output.1.log'))).toBe(true)
    expect(seen.filter((line, index) => line !== 10_000 + index).slice(0, 5)).toEqual([])
    expect(seen).toHaveLength(50_000)
  } finally {
    await world.end()
  }
})
