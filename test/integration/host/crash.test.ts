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
const script = 'trap "" TERM; echo ran >>ran; echo said; while :; do sleep 0.05; done'

const pushes = {
  enter: '{"enter":{"id":"push","kind":"git_operations"}}',
  exit: '{"exit":{"id":"push"}}',
}
/** In a critical section until it is told to leave; deaf to SIGTERM from then on. */
const sectioned =
  `echo ran >>ran; echo '${pushes.enter}' >>"$RUNWARDEN_PROGRESS"; until [ -e leave ]; do sleep 0.02; done; ` +
  `trap "" TERM; touch left; echo '${pushes.exit}' >>"$RUNWARDEN_PROGRESS"; while :; do sleep 0.05; done`

const pointsOfDeferral = [
  ...['before fact CriticalSectionEntered', 'after fact CriticalSectionEntered', 'after step begun'],
  ...['before step deferring', 'after step deferring', 'before fact KillDeferred', 'after fact KillDeferred'],
  ...['before fact CriticalSectionExited', 'after fact CriticalSectionExited', 'before step undeferred'],
  ...['after step undeferred', 'before step terminating'],
]

const points = [
  ...['after desired', 'after launch record', 'after attempt', 'before fact RunStarted', 'after fact RunStarted'],
  ...['before step wanted', 'after step wanted', 'before step begun', 'after step begun'],
  ...['before step terminating', 'after step terminating', 'before fact SigtermSent', 'after fact SigtermSent'],
  ...['before step met', 'before step proving', 'after step proving', 'before step killing', 'after step killing'],
  ...['before fact SigkillSent', 'after fact SigkillSent', 'before fact ProcessExited', 'after fact ProcessExited'],
  ...['before fact TreeGone', 'after fact TreeGone', 'before cleanup processes', 'after cleanup processes'],
  ...['before cleanup salvage', 'after cleanup salvage', 'after fact WorkspaceSalvaged'],
  ...['before cleanup workspace', 'after cleanup workspace', 'before fact CleanupStepCompleted'],
  ...['before fact RunCleaned', 'after fact RunCleaned'],
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

  async function runUntilCrash(
    run: DesiredRun,
    point: string,
    kill: object | null,
    cgroups = 'auto',
    killOn = 'RunStarted',
  ) {
    const args = [
      program,
      hostDirectory,
      JSON.stringify(run),
      kill === null ? '' : JSON.stringify(kill),
      point,
      cgroups,
      killOn,
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
    const ran = () => world?.kept(run.runId, 'ran')
    await waitUntil(ran, 'the run to begin')
    await world.host.want({ ...run, kill })
    await world.fact(run.runId, 'RunCleaned')
    const { receipt } = await world.fact(run.runId, 'TreeGone')
    expect(receipt.proven).toBe(true)
    expect(ran()).toBe('ran\n')
    expect(existsSync(world.workspace(run.runId))).toBe(false)
    const types = world.types(run.runId)
    for (const type of [
      'WorkspaceSalvaged',
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
      await runUntilCrash(run, point, { ...kill, graceMs: 60_000 }, cgroups, 'RunResumed')
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

  it.each(pointsOfDeferral)('[R7] [R14] %s: a kill that waits is told once, and does not wait anew', async (point) => {
    const run = desired(['sh', '-c', sectioned])
    const limits = { git_operations: 20_000, database_transactions: 0, file_operations: 0, api_calls: 0 }
    const waiting = { ...kill, requestedAt: new Date().toISOString(), sectionLimits: limits }
    await runUntilCrash(run, point, waiting, 'auto', 'CriticalSectionEntered')
    world = await createHostWorld({ hostDirectory })
    await world.fact(run.runId, 'CriticalSectionEntered')
    await world.host.want({ ...run, kill: waiting })
    const hadLeft = world.kept(run.runId, 'leave') !== undefined
    if (!hadLeft) await world.fact(run.runId, 'KillDeferred')
    if (!hadLeft) writeFileSync(join(world.workspace(run.runId), 'leave'), '')
    const { receipt } = await world.fact(run.runId, 'TreeGone')
    const until = new Date(Date.parse(waiting.requestedAt) + 20_000).toISOString()
    expect(receipt).toMatchObject({ proven: true, deferral: { until, endedBy: 'safe-point' } })
    expect((receipt.timings.deferralEndedAt ?? '') < until).toBe(true)
    await world.fact(run.runId, 'RunCleaned')
    expect(world.kept(run.runId, 'left')).toBe('')
    expect(world.kept(run.runId, 'ran')).toBe('ran\n')
    const types = world.types(run.runId)
    const once = ['CriticalSectionEntered', 'CriticalSectionExited', 'KillDeferred', 'SigtermSent', 'TreeGone'] as const
    for (const type of once) expect(types.filter((each) => each === type)).toHaveLength(1)
    const order = ['CriticalSectionEntered', 'KillDeferred', 'SigtermSent', 'TreeGone'] as const
    expect(types.filter((type) => order.some((each) => each === type))).toEqual(order)
  })

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
