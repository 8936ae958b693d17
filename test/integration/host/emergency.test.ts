import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DesiredRun, EmergencyKill } from '../../../src/domain/host-link.ts'
import type { RunId } from '../../../src/domain/ids.ts'
import { createHost, type Host } from '../../../src/host/host.ts'
import { isRunning } from '../../../src/host/process-table.ts'
import { readIdentity } from '../../../src/os/process-identity.ts'
import { createHostWorld, type HostWorld, tree } from '../../support/host-world.ts'
import { user } from '../../support/run-events.ts'
import { waitUntil } from '../../support/wait-until.ts'

let world: HostWorld
beforeEach(async () => {
  world = await createHostWorld()
})
afterEach(() => world.end())

const log = { info() {}, warn() {}, error: (fields: object, message: string) => console.error(message, fields) }
const soon = () => AbortSignal.timeout(15_000)
const never = AbortSignal.abort()
const deaf = ['sh', '-c', 'trap "" TERM; while :; do sleep 0.05; done']

const emergency = (runId: RunId, changes: Partial<EmergencyKill> = {}): EmergencyKill => ({
  ...{ runId, requestedBy: user, requestedAt: new Date().toISOString(), correlationId: 'c', reason: 'it burns' },
  ...changes,
})

const count = (runId: RunId, type: string) => world.types(runId).filter((each) => each === type).length

/** The host goes, and its directory is left to somebody who does not start it. */
async function withoutServer<Result>(act: (host: Host) => Promise<Result>): Promise<Result> {
  await world.host.close()
  const host = await createHost({ hostDirectory: world.hostDirectory, capacity: 10, log })
  try {
    return await act(host)
  } finally {
    await host.close()
  }
}

describe('[R14] [M1] an emergency kill of a host that runs', () => {
  it('is journalled with who asked before anything is signalled, and proven', async () => {
    const run = await world.launch(['sh', tree('family.sh')])
    const members = await world.members(run.runId, 6)
    await world.fact(run.runId, 'RunStarted')
    expect(await world.host.emergencyKill(emergency(run.runId, { idempotencyKey: 'k' }))).toBe('accepted')
    const end = await world.host.awaitEnd(run.runId, true, soon())
    expect(end).toMatchObject({ over: true, cleanup: 'DONE', receipt: { proven: true, rootExit: { status: 137 } } })
    expect(members.filter(isRunning)).toEqual([])
    await world.fact(run.runId, 'RunCleaned')
    const types = world.types(run.runId)
    expect(types).not.toContain('SigtermSent')
    expect(types.indexOf('EmergencyKillRequested')).toBe(types.indexOf('SigkillSent') - 1)
    expect(await world.fact(run.runId, 'EmergencyKillRequested')).toEqual({
      ...{ requestedBy: user, correlationId: 'c', reason: 'it burns', idempotencyKey: 'k', proofDeadlineMs: 5_000 },
    })
  })

  it('[R11] pre-empts a grace, and no later wish makes it weaker, not even after a restart', async () => {
    const run = await world.launch(deaf)
    await world.fact(run.runId, 'RunStarted')
    await world.kill(run, 'graceful', { graceMs: 60_000 })
    await world.fact(run.runId, 'SigtermSent')
    await world.host.emergencyKill(emergency(run.runId))
    await world.host.want(run)
    await world.kill(run, 'graceful', { graceMs: 60_000 })
    const end = await world.host.awaitEnd(run.runId, false, soon())
    expect(end?.receipt?.proven).toBe(true)
    await world.restart()
    await world.host.want(run)
    await world.fact(run.runId, 'RunCleaned')
    expect(count(run.runId, 'SigtermSent')).toBe(1)
  })

  it('[R10] asked for many times at once is one kill', async () => {
    const run = await world.launch(deaf)
    await world.fact(run.runId, 'RunStarted')
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => world.host.emergencyKill(emergency(run.runId))))
    expect(outcomes.filter((outcome) => outcome === 'accepted')).toHaveLength(1)
    await world.fact(run.runId, 'RunCleaned')
    expect(count(run.runId, 'EmergencyKillRequested')).toBe(1)
    expect(count(run.runId, 'SigkillSent')).toBe(1)
  })

  it('[R9] of a run that it does not know is none; of one that is over it signals nobody, and shows the receipt', async () => {
    expect(await world.host.emergencyKill(emergency('run_ffffffffffff'))).toBeUndefined()
    expect(await world.host.awaitEnd('run_ffffffffffff', true, soon())).toBeUndefined()
    const run = await world.launch(['sh', '-c', 'exit 3'])
    await world.fact(run.runId, 'RunCleaned')
    await waitUntil(() => existsSync(join(world.directory(run.runId), 'finished')), 'the run to be finished')
    expect(await world.host.emergencyKill(emergency(run.runId))).toBe('over')
    const end = await world.host.awaitEnd(run.runId, true, soon())
    expect(end).toMatchObject({ over: true, cleanup: 'DONE', receipt: { proven: true, rootExit: { status: 3 } } })
    expect(count(run.runId, 'EmergencyKillRequested')).toBe(0)
  })

  it('a wait that ends early says how far the end is', async () => {
    const run = await world.launch(deaf)
    await world.fact(run.runId, 'RunStarted')
    expect(await world.host.awaitEnd(run.runId, true, never)).toEqual({ over: false, receipt: null, cleanup: 'NONE' })
  })
})

describe('[R14] [M1] an emergency kill of a host that was not started', () => {
  it('ends the one run and touches no other: none is adopted, none is launched', async () => {
    await world.end()
    world = await createHostWorld({ capacity: 2 })
    const [run, other] = [await world.launch(deaf), await world.launch(deaf)]
    const waiting = await world.launch(['sh', '-c', 'echo ran'])
    for (const { runId } of [run, other]) await world.fact(runId, 'RunStarted')
    const { root } = await world.fact(other.runId, 'RunStarted')
    await withoutServer(async (host) => {
      expect(await host.emergencyKill(emergency(run.runId))).toBe('accepted')
      expect(await host.known()).toEqual([run.runId])
      expect(await host.awaitEnd(run.runId, true, soon())).toMatchObject({ cleanup: 'DONE', receipt: { proven: true } })
    })
    expect(isRunning(root)).toBe(true)
    expect(existsSync(world.workspace(waiting.runId))).toBe(false)

    await world.restart()
    await world.fact(run.runId, 'RunCleaned')
    const types = world.types(run.runId)
    expect(types.indexOf('EmergencyKillRequested')).toBeLessThan(types.indexOf('SigkillSent'))
    expect(world.ofRun(run.runId).map(({ sequence }) => sequence)).toEqual(
      world.ofRun(run.runId).map((_, index) => index + 1),
    )
    await world.fact(waiting.runId, 'RunStarted')
    expect(isRunning(root)).toBe(true)
  })

  it('of a run that waits for a slot proves that it never began', async () => {
    await world.end()
    world = await createHostWorld({ capacity: 1 })
    const first = await world.launch(deaf)
    await world.fact(first.runId, 'RunStarted')
    const waiting = await world.launch(['sh', '-c', 'echo ran'])
    await withoutServer(async (host) => {
      await host.emergencyKill(emergency(waiting.runId))
      const end = await host.awaitEnd(waiting.runId, true, soon())
      expect(end).toMatchObject({ receipt: { proven: true, root: null } })
    })
    await world.restart()
    await world.fact(waiting.runId, 'RunCleaned')
    expect(count(waiting.runId, 'RunStarted')).toBe(0)
  })

  it('[R9] spares what belongs to another run, though it descends from this one', async () => {
    const parent = spawn('sh', ['-c', 'sleep 1005 & echo $!; wait'], { stdio: ['ignore', 'pipe', 'ignore'] })
    const [line] = await once(parent.stdout, 'data')
    const child = readIdentity(Number(String(line)))
    const supervised = (pid: number): DesiredRun => {
      const root = readIdentity(pid)
      if (root === undefined) throw new Error(`no process ${pid}`)
      return { ...world.desired(['unused']), work: { kind: 'supervise', root, workspacePath: null } }
    }
    const inner = supervised(Number(String(line)))
    const outer = supervised(parent.pid ?? 0)
    await world.host.want(inner)
    await world.host.want(outer)
    for (const { runId } of [inner, outer]) await world.fact(runId, 'RunStarted')
    await withoutServer(async (host) => {
      await host.emergencyKill(emergency(outer.runId))
      expect(await host.awaitEnd(outer.runId, true, soon())).toMatchObject({ receipt: { proven: true } })
    })
    expect(child && isRunning(child)).toBe(true)
    await world.restart()
    await world.kill(inner)
    await world.fact(inner.runId, 'TreeGone')
  })

  it('[M1] that cannot be proven says so, and can be asked for again', async () => {
    const run = { ...world.desired(deaf), leftovers: { graceMs: 200, proofDeadlineMs: 300 } }
    await world.host.want(run)
    const { root } = await world.fact(run.runId, 'RunStarted')
    const launch = join(world.directory(run.runId), 'launch')
    const record = readFileSync(launch, 'utf8')
    await withoutServer(async (host) => {
      writeFileSync(launch, JSON.stringify({ ...JSON.parse(record), pidNamespace: '1', cgroup: null }))
      await host.emergencyKill(emergency(run.runId))
      const end = await host.awaitEnd(run.runId, true, soon())
      expect(end).toMatchObject({ over: false, receipt: { proven: false } })
    })
    expect(isRunning(root)).toBe(true)
    writeFileSync(launch, record)
    await withoutServer(async (host) => {
      expect(await host.emergencyKill(emergency(run.runId))).toBe('accepted')
      expect(await host.awaitEnd(run.runId, true, soon())).toMatchObject({ over: true, receipt: { proven: true } })
    })
    await world.restart()
  })
})

describe('[R14] whoever carries out an emergency kill and dies', () => {
  const program = join(import.meta.dirname, '../../programs/emergency-kill.ts')

  async function killUntilCrash(kill: EmergencyKill, point: string): Promise<void> {
    await world.host.close()
    const args = [program, world.hostDirectory, JSON.stringify(kill), point]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] })
    expect((await once(child, 'exit'))[1], `crashed ${point}`).toBe('SIGKILL')
  }

  const points = [
    ...['after fact EmergencyKillRequested', 'after step wanted', 'after step begun', 'after step killing'],
    ...['before fact SigkillSent', 'after fact SigkillSent', 'before fact TreeGone', 'after fact TreeGone'],
    ...['before cleanup processes', 'before fact RunCleaned', 'after fact RunCleaned'],
  ]

  it.each(points)('%s: the next host goes on, exactly once in effect', async (point) => {
    const run = await world.launch(deaf)
    const { root } = await world.fact(run.runId, 'RunStarted')
    await killUntilCrash(emergency(run.runId), point)
    await world.restart()
    // As the store has it, which knows of no kill yet.
    await world.host.want(run)
    await world.fact(run.runId, 'RunCleaned')
    expect(isRunning(root)).toBe(false)
    for (const type of ['EmergencyKillRequested', 'SigkillSent', 'ProcessExited', 'TreeGone', 'RunCleaned'])
      expect(count(run.runId, type), type).toBe(1)
    const types = world.types(run.runId)
    expect(types.indexOf('EmergencyKillRequested')).toBeLessThan(types.indexOf('SigkillSent'))
    expect((await world.fact(run.runId, 'TreeGone')).receipt.proven).toBe(true)
  })

  it('before it was journalled: nothing has happened, and it can be asked for again', async () => {
    const run = await world.launch(deaf)
    const { root } = await world.fact(run.runId, 'RunStarted')
    await killUntilCrash(emergency(run.runId), 'before fact EmergencyKillRequested')
    expect(isRunning(root)).toBe(true)
    await withoutServer(async (host) => {
      expect(await host.emergencyKill(emergency(run.runId))).toBe('accepted')
      expect((await host.awaitEnd(run.runId, true, soon()))?.receipt?.proven).toBe(true)
    })
    await world.restart()
  })

  it('after it was journalled: the next emergency kill joins it and finishes it', async () => {
    const run = await world.launch(deaf)
    await world.fact(run.runId, 'RunStarted')
    await killUntilCrash(emergency(run.runId), 'after fact EmergencyKillRequested')
    await withoutServer(async (host) => {
      expect(await host.emergencyKill(emergency(run.runId))).toBe('joined')
      expect((await host.awaitEnd(run.runId, true, soon()))?.receipt?.proven).toBe(true)
    })
    await world.restart()
    await world.fact(run.runId, 'RunCleaned')
    expect(count(run.runId, 'EmergencyKillRequested')).toBe(1)
  })
})
