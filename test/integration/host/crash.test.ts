import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DesiredRun } from '../../../src/domain/host-link.ts'
import { isRunning } from '../../../src/host/process-table.ts'
import { createHostWorld, type HostWorld, killThoseOf } from '../../support/host-world.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'
import { waitUntil } from '../../support/wait-until.ts'

const program = join(import.meta.dirname, '../../programs/host.ts')
const script = 'echo ran >>ran; echo said; trap "" TERM; while :; do sleep 0.05; done'

const points = [
  ...['after desired', 'after launch record', 'after attempt', 'before fact RunStarted', 'after fact RunStarted'],
  ...['before step wanted', 'after step wanted', 'before step begun', 'after step begun'],
  ...['before step terminating', 'after step terminating', 'before fact SigtermSent', 'after fact SigtermSent'],
  ...['before step met', 'before step proving', 'after step proving', 'before step killing', 'after step killing'],
  ...['before fact SigkillSent', 'after fact SigkillSent', 'before fact ProcessExited', 'after fact ProcessExited'],
  ...['before fact TreeGone', 'after fact TreeGone', 'before cleanup processes', 'after cleanup processes'],
  ...['before fact CleanupStepCompleted', 'before fact RunCleaned', 'after fact RunCleaned'],
]

describe('a host that is killed with SIGKILL', () => {
  let temporary: ReturnType<typeof makeTemporaryDirectory>
  let hostDirectory: string
  let world: HostWorld | undefined
  beforeEach(() => {
    temporary = makeTemporaryDirectory()
    hostDirectory = join(temporary.path, 'host')
  })
  afterEach(async () => {
    await world?.end()
    world = undefined
    killThoseOf(hostDirectory)
    temporary.remove()
  })

  const desired = (command: string[]): DesiredRun => ({
    ...{ runId: 'run_0000000000c1', order: 1, kill: null, factSequence: 0 },
    work: {
      kind: 'launch',
      launch: { driver: 'command', command, workspace: { kind: 'TEMPORARY' }, env: {}, secretEnv: [] },
    },
    leftovers: { graceMs: 100, proofDeadlineMs: 5_000 },
  })
  const kill = { kind: 'graceful', requestedAt: new Date().toISOString(), graceMs: 60, proofDeadlineMs: 5_000 } as const

  async function runUntilCrash(run: DesiredRun, point: string, kill: object | null, cgroups = 'auto', pause = false) {
    const args = [
      program,
      hostDirectory,
      JSON.stringify(run),
      kill === null ? '' : JSON.stringify(kill),
      point,
      cgroups,
      ...(pause ? ['pause'] : []),
    ]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] })
    const [, signal] = await once(child, 'exit')
    expect(signal, `crashed ${point}`).toBe('SIGKILL')
  }

  it.each(points)('[R14] %s: the next host goes on, exactly once in effect', async (point) => {
    const run = desired(['sh', '-c', script])
    await runUntilCrash(run, point, kill)
    world = await createHostWorld({ hostDirectory })
    await world.host.want(run)
    await world.fact(run.runId, 'RunStarted')
    const ran = join(world.workspace(run.runId), 'ran')
    await waitUntil(() => readFileSync(ran, 'utf8') !== '', 'the run to begin').catch(() => {})
    await world.host.want({ ...run, kill })
    await world.fact(run.runId, 'RunCleaned')
    const { receipt } = await world.fact(run.runId, 'TreeGone')
    expect(receipt.proven).toBe(true)
    expect(readFileSync(ran, 'utf8')).toBe('ran\n')
    const types = world.types(run.runId)
    for (const type of [
      'RunStarted',
      'SigtermSent',
      'SigkillSent',
      'ProcessExited',
      'TreeGone',
      'RunCleaned',
    ] as const) {
      expect(types.filter((each) => each === type)).toHaveLength(1)
    }
    // Whatever its status: it did not end by itself.
    expect(types.indexOf('SigtermSent')).toBeLessThan(types.indexOf('ProcessExited'))
    expect(world.ofRun(run.runId).map(({ sequence }) => sequence)).toEqual(
      world.ofRun(run.runId).map((_, index) => index + 1),
    )
    expect(await world.output(run.runId)).toBe('said\n')
  })

  const ofPause = [
    ...['before pause wish', 'after pause wish', 'after stop signals', 'before fact RunPaused', 'after fact RunPaused'],
    ...['after go-on signals', 'before fact RunResumed', 'after fact RunResumed', 'after fact SigtermSent'],
  ]
  it.each(ofPause.flatMap((point) => ['auto', 'off'].map((cgroups) => [point, cgroups] as const)))(
    '[R14] of a pause, %s (cgroups %s): the next host goes on, exactly once in effect',
    async (point, cgroups) => {
      const run = desired(['sh', '-c', 'trap "exit 7" TERM; while :; do echo beat >>beats; sleep 0.02; done'])
      await runUntilCrash(run, point, { ...kill, graceMs: 60_000 }, cgroups, true)
      world = await createHostWorld({ hostDirectory, cgroups: cgroups as 'auto' | 'off' })
      const beats = () => {
        const path = join(world?.workspace(run.runId) ?? '', 'beats')
        return existsSync(path) ? readFileSync(path, 'utf8').length : 0
      }
      const pause = (paused: boolean) => world?.host.want({ ...run, pause: { paused, revision: paused ? 5 : 6 } })
      await pause(true)
      await world.fact(run.runId, 'RunPaused')
      await pause(false)
      await world.fact(run.runId, 'RunResumed')
      const resumed = beats()
      if (point !== 'after fact SigtermSent') await waitUntil(() => beats() > resumed, 'the run to go on')
      await world.host.want({ ...run, kill: { ...kill, graceMs: 60_000 } })
      const { receipt } = await world.fact(run.runId, 'TreeGone')
      expect(receipt).toMatchObject({ proven: true, rootExit: { status: 7 } })
      const types = world.types(run.runId).filter((type) => ['RunPaused', 'RunResumed', 'SigtermSent'].includes(type))
      expect(types).toEqual(['RunPaused', 'RunResumed', 'SigtermSent'])
    },
  )

  it('[R14] a run that ended while no host was there keeps its output and its exit status', async () => {
    const run = desired(['sh', '-c', 'echo first; sleep 0.4; echo last; exit 3'])
    await runUntilCrash(run, 'after fact RunStarted', null)
    world = await createHostWorld({ hostDirectory })
    const { root } = await world.fact(run.runId, 'RunStarted')
    const { receipt } = await world.fact(run.runId, 'TreeGone')
    expect(receipt.rootExit?.status).toBe(3)
    expect(isRunning(root)).toBe(false)
    expect(await world.output(run.runId)).toBe('first\nlast\n')
    expect(world.types(run.runId)).not.toContain('SigtermSent')
  })

  it('[R14] a run of another boot is gone without a signal to anybody', async () => {
    const run = desired(['sleep', '1000'])
    await runUntilCrash(run, 'after fact RunStarted', null, 'off')
    const launch = join(hostDirectory, 'runs', run.runId, 'launch')
    const record = JSON.parse(readFileSync(launch, 'utf8'))
    writeFileSync(launch, JSON.stringify({ ...record, bootId: 'another' }))
    world = await createHostWorld({ hostDirectory })
    const { receipt } = await world.fact(run.runId, 'TreeGone')
    expect(receipt).toMatchObject({ proven: true, rootExit: { status: null } })
    expect(world.types(run.runId).filter((type) => type.startsWith('Sig'))).toEqual([])
    const started = await world.fact(run.runId, 'RunStarted')
    expect(isRunning(started.root)).toBe(true)
  })
})
