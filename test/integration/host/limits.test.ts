import { afterEach, beforeEach, expect, it } from 'vitest'
import { createHostWorld, type HostWorld } from '../../support/host-world.ts'

let world: HostWorld
beforeEach(async () => {
  // Whatever controllers this machine has: here it is about the limits that each process is started under.
  world = await createHostWorld({ cgroups: 'off' })
})
afterEach(() => world.end())

const mebibyte = 2 ** 20
/** Keeps what it reads: 400 MB of it. */
const hog = 'echo begun; head -c 400000000 /dev/zero | tail -c 300000000 | wc -c; echo still there'

it('[R10] a run that allocates until its limit gets no more; the others, and whoever watches them, live on', async () => {
  const other = await world.launch(['sleep', '1000'])
  const before = process.memoryUsage().rss
  const { runId } = await world.launch(['sh', '-c', hog], { limits: { memoryBytes: 200 * mebibyte } })
  const { receipt } = await world.fact(runId, 'TreeGone')
  expect(receipt).toMatchObject({ proven: true, rootExit: { status: 0 } })
  expect(await world.output(runId)).toMatch(/^begun\n.*memory exhausted\n0\nstill there\n$/s)
  const started = await world.fact(runId, 'RunStarted')
  expect(started.limits).toEqual([
    {
      limit: 'memory',
      requested: 200 * mebibyte,
      enforcedBy: 'rlimit',
      detail: expect.stringMatching(/of each process/),
    },
  ])
  const summary = await world.fact(runId, 'TelemetrySummarised')
  expect(summary.peakRssBytes ?? 0).toBeLessThan(400 * mebibyte)
  expect(process.memoryUsage().rss - before).toBeLessThan(200 * mebibyte)
  await world.kill(other)
  await world.fact(other.runId, 'TreeGone')
})

it('[R10] without a limit the same run gets it all', async () => {
  const { runId } = await world.launch(['sh', '-c', hog])
  await world.fact(runId, 'TreeGone')
  expect(await world.output(runId)).toBe('begun\n300000000\nstill there\n')
})

it('[R21] open files of each process, and no more than were asked for', async () => {
  const { runId } = await world.launch(['sh', '-c', 'ulimit -n; ulimit -Hn'], { limits: { openFiles: 32 } })
  await world.fact(runId, 'TreeGone')
  expect(await world.output(runId)).toBe('32\n32\n')
})

it.runIf(process.getuid?.() === 0)('[R10] a fork bomb in an account of its own ends at its limit', async () => {
  const bomb = 'i=0; while [ $i -lt 60 ]; do sleep 1000 & i=$((i+1)); done; wait'
  const { runId } = await world.launch(['sh', '-c', bomb], {
    runAs: 'games',
    limits: { pids: 20 },
    workspace: { kind: 'EXISTING', path: '/' },
  })
  const { receipt } = await world.fact(runId, 'TreeGone')
  expect(receipt.proven).toBe(true)
  expect(receipt.processCount).toBeLessThanOrEqual(20)
  expect(await world.output(runId)).toMatch(/[Cc]annot fork/)
})

it('[R21] a limit that cannot be enforced is told, and where it is required nothing is launched', async () => {
  const limits = { cpuPercent: 50, pids: 10 }
  const { runId } = await world.launch(['true'], { limits })
  const started = await world.fact(runId, 'RunStarted')
  expect(started.limits?.map(({ limit, enforcedBy }) => [limit, enforcedBy])).toEqual([
    ['pids', 'none'],
    ['cpu', 'none'],
  ])
  const refused = await world.launch(['true'], { limits: { ...limits, required: true } })
  const failure = await world.fact(refused.runId, 'LaunchFailed')
  expect(failure).toMatchObject({ code: 'LIMIT_UNAVAILABLE', message: expect.stringMatching(/pids .*cpu /s) })
  expect(world.types(refused.runId)).not.toContain('RunStarted')
})

it('[R14] another host knows which limits a run was started under', async () => {
  const { runId } = await world.launch(['sleep', '1000'], { limits: { openFiles: 32 } })
  await world.fact(runId, 'RunStarted')
  await world.restart()
  await world.fact(runId, 'RunAdopted')
  expect((await world.fact(runId, 'RunStarted')).limits).toMatchObject([{ limit: 'openFiles', enforcedBy: 'rlimit' }])
  const { checks } = await world.host.report()
  expect(checks.find(({ name }) => name === 'limits')?.detail).toMatch(/memory: .*pids: .*cpu: .*openFiles: /s)
})
