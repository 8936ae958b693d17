import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DesiredKill, DesiredRun } from '../../../src/domain/host-link.ts'
import { isRunning } from '../../../src/host/process-table.ts'
import { expectIntact, git, heldRepository } from '../../support/git.ts'
import { createHostWorld, type HostWorld } from '../../support/host-world.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'
import { waitUntil } from '../../support/wait-until.ts'

const limits = { git_operations: 20_000, database_transactions: 20_000, file_operations: 20_000, api_calls: 3_000 }
/** Enters a section, and leaves it when it is told to. */
const declares = (enter: object) =>
  `echo '${JSON.stringify({ enter })}' >>"$RUNWARDEN_PROGRESS"; touch entered; ` +
  `until [ -e leave ]; do sleep 0.02; done; echo '{"exit":{"id":"${(enter as { id: string }).id}"}}' >>"$RUNWARDEN_PROGRESS"; `
const files = { id: 'report', kind: 'file_operations', detail: 'the report' }

describe.each(['auto', 'off'] as const)('a graceful kill and critical sections, cgroups %s', (cgroups) => {
  let temporary: ReturnType<typeof makeTemporaryDirectory>
  let world: HostWorld
  beforeEach(async () => {
    temporary = makeTemporaryDirectory()
    world = await createHostWorld({ cgroups })
  })
  afterEach(async () => {
    await world.end()
    temporary.remove()
  })

  const there = (run: DesiredRun, name: string) =>
    waitUntil(() => existsSync(join(world.workspace(run.runId), name)), `${name} in the workspace of ${run.runId}`)
  const leave = (run: DesiredRun) => writeFileSync(join(world.workspace(run.runId), 'leave'), '')
  const kill = (run: DesiredRun, changes: Partial<DesiredKill> = {}) =>
    world.kill(run, 'graceful', { sectionLimits: limits, ...changes })
  const signals = (run: DesiredRun) => world.types(run.runId).filter((type) => type.startsWith('Sig'))

  it('[R7] waits for a declared section, says until when, and goes on as soon as it is left', async () => {
    const run = await world.launch(['sh', '-c', `${declares(files)} echo left >done; sleep 1000`])
    await there(run, 'entered')
    const requestedAt = new Date().toISOString()
    await kill(run, { requestedAt })
    const { until, sections } = await world.fact(run.runId, 'KillDeferred')
    expect(until).toBe(new Date(Date.parse(requestedAt) + 20_000).toISOString())
    expect(sections).toEqual([
      expect.objectContaining({ kind: 'file_operations', source: 'DECLARED', detail: 'the report' }),
    ])
    expect(signals(run)).toEqual([])
    expect(await world.host.openSections(run.runId)).toMatchObject([{ detail: 'the report' }])
    leave(run)
    const { receipt } = await world.fact(run.runId, 'TreeGone')
    expect(receipt).toMatchObject({ proven: true, deferral: { until, endedBy: 'safe-point', sections } })
    const { deferredAt = '', deferralEndedAt = '', sigtermAt = '' } = receipt.timings
    expect(deferredAt < deferralEndedAt && deferralEndedAt <= sigtermAt).toBe(true)
    expect(deferralEndedAt < until).toBe(true)
    const types = world.types(run.runId)
    expect(types.indexOf('CriticalSectionExited')).toBeLessThan(types.indexOf('SigtermSent'))
    expect(await world.host.openSections(run.runId)).toBeUndefined()
  })

  it('[R7] a section that is never left holds a kill no longer than its limit', async () => {
    const call = { id: 'call', kind: 'api_calls' }
    const run = await world.launch(['sh', '-c', declares(call)])
    await there(run, 'entered')
    const requestedAt = new Date().toISOString()
    await kill(run, { requestedAt })
    const { receipt } = await world.fact(run.runId, 'TreeGone')
    expect(receipt.deferral).toMatchObject({
      endedBy: 'limit',
      until: new Date(Date.parse(requestedAt) + 3_000).toISOString(),
    })
    expect(receipt.timings.deferralEndedAt).toSatisfy((at: string) => at >= (receipt.deferral?.until ?? ''))
    expect(signals(run)).toContain('SigtermSent')
  })

  it.each(['force', 'emergency'] as const)('[R7] %s does not wait, and ends a wait that is under way', async (kind) => {
    const run = await world.launch(['sh', '-c', declares(files)])
    await there(run, 'entered')
    await kill(run)
    await world.fact(run.runId, 'KillDeferred')
    await world.kill(run, kind)
    const { receipt } = await world.fact(run.runId, 'TreeGone')
    expect(receipt.deferral?.endedBy).toBe('stronger-kill')
    expect(signals(run)).toEqual(['SigkillSent'])
    const other = await world.launch(['sh', '-c', declares(files)])
    await there(other, 'entered')
    await world.kill(other, kind)
    expect((await world.fact(other.runId, 'TreeGone')).receipt.deferral).toBeUndefined()
    expect(world.types(other.runId)).not.toContain('KillDeferred')
  })

  it('[R7] a section is over with the process that was in it', async () => {
    const inner = `echo "{\\"enter\\":{\\"id\\":\\"tx\\",\\"kind\\":\\"database_transactions\\",\\"pid\\":$$}}" >>"$RUNWARDEN_PROGRESS"; echo $$ >pids; exec sleep 1000`
    const run = await world.launch(['sh', '-c', `sh -c '${inner}' & wait; sleep 1000`])
    const [member] = await world.members(run.runId, 1)
    await waitUntil(async () => (await world.host.openSections(run.runId))?.length === 1, 'the section to be known')
    if (member !== undefined && isRunning(member)) process.kill(member.pid, 'SIGKILL')
    expect(await world.fact(run.runId, 'CriticalSectionExited')).toEqual({ id: 'tx', cause: 'process-ended' })
    expect(await world.host.openSections(run.runId)).toEqual([])
    await kill(run)
    expect((await world.fact(run.runId, 'TreeGone')).receipt.deferral).toBeUndefined()
  })

  it('[R7] [R14] the deadline survives the host: it is not begun anew, and told once', async () => {
    const run = await world.launch(['sh', '-c', declares({ ...files, kind: 'api_calls' })])
    await there(run, 'entered')
    const requestedAt = new Date().toISOString()
    await kill(run, { requestedAt, sectionLimits: { ...limits, api_calls: 4_000 } })
    const { until } = await world.fact(run.runId, 'KillDeferred')
    await world.restart()
    const { receipt } = await world.fact(run.runId, 'TreeGone')
    expect(until).toBe(new Date(Date.parse(requestedAt) + 4_000).toISOString())
    expect(receipt.deferral).toMatchObject({ until, endedBy: 'limit' })
    expect(world.types(run.runId).filter((type) => type === 'KillDeferred')).toHaveLength(1)
  })

  it('[R7] a root that ends by itself while its kill waits keeps its own outcome', async () => {
    const run = await world.launch(['sh', '-c', `${declares(files)} exit 3`])
    await there(run, 'entered')
    await kill(run)
    await world.fact(run.runId, 'KillDeferred')
    leave(run)
    const { receipt } = await world.fact(run.runId, 'TreeGone')
    expect(receipt.rootExit?.status).toBe(3)
    const types = world.types(run.runId)
    const [exit, signal] = [types.indexOf('ProcessExited'), types.findIndex((type) => type.startsWith('Sig'))]
    expect(signal === -1 || exit < signal).toBe(true)
  })

  const inWork = (work: string) => ({ workspace: { kind: 'EXISTING' as const, path: work } })

  it('[R7] [R9] a commit that git is in the middle of is waited for; the repository is intact', async () => {
    const { work, script, held, goOn } = heldRepository(temporary.path, 'pre-commit')
    const run = await world.launch(['sh', '-c', `${script}; sleep 1000`], inWork(work))
    await held()
    expect(existsSync(join(work, '.git/index.lock'))).toBe(true)
    await kill(run)
    const { sections } = await world.fact(run.runId, 'KillDeferred')
    expect(sections).toEqual([expect.objectContaining({ kind: 'git_operations', source: 'OBSERVED' })])
    expect(sections[0]?.detail).toMatch(/^git commit, pid \d+$/)
    goOn()
    const { receipt } = await world.fact(run.runId, 'TreeGone')
    expect(receipt).toMatchObject({ proven: true, deferral: { endedBy: 'safe-point' } })
    expectIntact(work)
    expect(git(work, 'log', '--format=%s')).toBe('second\nfirst\n')
    expect(existsSync(join(work, '.git/index.lock'))).toBe(false)
  })

  it('[R7] [R9] a push is waited for; the remote has it, whole', async () => {
    const { work, remote, script, held, goOn } = heldRepository(temporary.path, 'pre-push')
    const run = await world.launch(['sh', '-c', `${script}; sleep 1000`], inWork(work))
    await held()
    await kill(run)
    const { sections } = await world.fact(run.runId, 'KillDeferred')
    expect(sections[0]?.detail).toMatch(/^git push, pid \d+$/)
    goOn()
    await world.fact(run.runId, 'TreeGone')
    expectIntact(remote)
    expect(git(remote, 'rev-parse', 'main')).toBe(git(work, 'rev-parse', 'main'))
  })

  it.skipIf(cgroups === 'off')(
    '[R7] a run that starts one git after the other is ended between two of them',
    async () => {
      const { work, held, goOn, script } = heldRepository(temporary.path, 'pre-commit')
      const loop = `while :; do ${script} --allow-empty; done`
      const run = await world.launch(['sh', '-c', loop], inWork(work))
      await held()
      await kill(run)
      await world.fact(run.runId, 'KillDeferred')
      goOn()
      const { receipt } = await world.fact(run.runId, 'TreeGone')
      expect(receipt.deferral?.endedBy).toBe('safe-point')
      const cut = receipt.processes.filter(({ command, signals }) => signals.length > 0 && command.startsWith('git '))
      expect(cut).toEqual([])
      expect(existsSync(join(work, '.git/index.lock'))).toBe(false)
      expectIntact(work)
      expect(Number(git(work, 'rev-list', '--count', 'main'))).toBeGreaterThanOrEqual(2)
    },
  )

  it('[R7] an alias is known as what it stands for', async () => {
    const { work, held, goOn } = heldRepository(temporary.path, 'pre-commit')
    git(work, 'config', 'alias.ci', 'commit -q -a -m second')
    git(work, 'config', 'user.name', 'ada')
    git(work, 'config', 'user.email', 'ada@example.org')
    const run = await world.launch(['sh', '-c', 'echo second >file; git ci; sleep 1000'], inWork(work))
    await held()
    await kill(run)
    const { sections } = await world.fact(run.runId, 'KillDeferred')
    expect(sections[0]?.detail).toMatch(/^git commit, pid \d+$/)
    goOn()
    await world.fact(run.runId, 'TreeGone')
    expectIntact(work)
    expect(git(work, 'log', '--format=%s')).toBe('second\nfirst\n')
  })

  it('[R7] a paused run goes on, so that it can leave its section', async () => {
    const run = await world.launch(['sh', '-c', `${declares(files)} sleep 1000`])
    await there(run, 'entered')
    await world.host.want({ ...run, pause: { paused: true, revision: 5 } })
    await world.fact(run.runId, 'RunPaused')
    await kill(run)
    await world.fact(run.runId, 'KillDeferred')
    expect(await world.fact(run.runId, 'RunResumed')).toMatchObject({ cause: 'kill' })
    expect(signals(run)).toEqual([])
    leave(run)
    expect((await world.fact(run.runId, 'TreeGone')).receipt.deferral?.endedBy).toBe('safe-point')
  })

  it('[R7] a lock file of a dead process, or of somebody else, defers nothing; one that is held does', async () => {
    const { work } = heldRepository(temporary.path, 'pre-commit')
    const lock = join(work, '.git/index.lock')
    writeFileSync(lock, '')
    const workspace = { kind: 'EXISTING', path: work } as const
    const run = await world.launch(['sh', '-c', 'git cat-file --batch </dev/zero >/dev/null 2>&1 & sleep 1000'], {
      workspace,
    })
    await world.fact(run.runId, 'RunStarted')
    await waitUntil(async () => (await world.host.openSections(run.runId)) !== undefined, 'the run')
    expect(await world.host.openSections(run.runId)).toEqual([])
    const holder = await world.launch(['sh', '-c', 'exec 9>.git/refs/heads/main.lock; touch held; sleep 1000'], {
      workspace,
    })
    await world.fact(holder.runId, 'RunStarted')
    await waitUntil(() => existsSync(join(work, 'held')), 'the lock')
    expect(await world.host.openSections(holder.runId)).toEqual([
      expect.objectContaining({
        source: 'OBSERVED',
        detail: expect.stringMatching(/refs\/heads\/main\.lock, pid \d+$/),
      }),
    ])
    expect(readFileSync(lock, 'utf8')).toBe('')
  })
})
