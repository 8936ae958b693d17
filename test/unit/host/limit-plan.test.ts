import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openControllers } from '../../../src/host/controllers.ts'
import { type LimitingHost, limitCgroup, planLimits, unenforceable } from '../../../src/host/limit-plan.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

const all = { memoryBytes: 200 * 2 ** 20, pids: 50, cpuPercent: 150, openFiles: 64 }
const withCgroups: LimitingHost = {
  controllers: { memory: null, pids: null, cpu: null },
  prlimit: '/usr/bin/prlimit',
  openFilesMax: 1024,
}
const without: LimitingHost = { ...withCgroups, controllers: undefined }
const by = (host: LimitingHost, own = true) =>
  planLimits(all, host, own).reports?.map(({ limit, enforcedBy }) => `${limit} ${enforcedBy}`)

describe('[R21] what holds a run to its limits', () => {
  it('its cgroup, where the kernel gives it the controllers; open files each process by itself', () => {
    const plan = planLimits(all, withCgroups, false)
    expect(plan.cgroupFiles).toEqual([
      ['memory.max', '209715200'],
      ['pids.max', '50'],
      ['cpu.max', '150000 100000'],
    ])
    expect(plan.prefix).toEqual(['/usr/bin/prlimit', '--nofile=64:64', '--'])
    expect(by(withCgroups)).toEqual(['memory cgroup', 'pids cgroup', 'cpu cgroup', 'openFiles rlimit'])
  })

  it('rlimits elsewhere, where they are sound: not for a share of the CPU, nor for processes of an account of ours', () => {
    expect(by(without)).toEqual(['memory rlimit', 'pids rlimit', 'cpu none', 'openFiles rlimit'])
    expect(by(without, false)).toEqual(['memory rlimit', 'pids none', 'cpu none', 'openFiles rlimit'])
    expect(planLimits(all, without, true).prefix).toEqual([
      ...['/usr/bin/prlimit', '--data=209715200:209715200', '--nproc=50:50', '--nofile=64:64', '--'],
    ])
  })

  it('nothing, where there is neither; each says why', () => {
    const { reports, prefix, cgroupFiles } = planLimits(all, { ...without, prlimit: undefined }, true)
    expect(reports?.map(({ enforcedBy }) => enforcedBy)).toEqual(['none', 'none', 'none', 'none'])
    expect(reports?.filter(({ detail }) => detail.length < 10)).toEqual([])
    expect([prefix, cgroupFiles]).toEqual([[], []])
  })

  it('one controller by itself', () => {
    const partly: LimitingHost = { ...withCgroups, controllers: { memory: 'none here', pids: null, cpu: 'none here' } }
    expect(by(partly, false)).toEqual(['memory rlimit', 'pids cgroup', 'cpu none', 'openFiles rlimit'])
  })

  it('what Runwarden itself is held to holds for its runs: a higher limit is no new one', () => {
    const { reports, prefix } = planLimits({ openFiles: 4096 }, withCgroups, true)
    expect(reports).toMatchObject([{ enforcedBy: 'rlimit', detail: expect.stringContaining('1024') }])
    expect(prefix).toEqual([])
  })

  it('a run without limits is started as it was before', () => {
    expect(planLimits(undefined, withCgroups, true)).toEqual({ reports: undefined, cgroupFiles: [], prefix: [] })
  })

  it('required ones that cannot be enforced are a reason not to launch', () => {
    const refusal = (required: boolean | undefined, host: LimitingHost) =>
      unenforceable({ ...all, required }, planLimits(all, host, true))
    expect(refusal(true, without)).toMatchObject({
      code: 'LIMIT_UNAVAILABLE',
      message: expect.stringMatching(/cpu \(/),
    })
    expect(refusal(true, withCgroups)).toBeUndefined()
    expect(refusal(undefined, without)).toBeUndefined()
  })
})

describe('controllers of cgroup v2, on files that look like them', () => {
  let directory: ReturnType<typeof makeTemporaryDirectory>
  beforeEach(() => {
    directory = makeTemporaryDirectory()
  })
  afterEach(() => directory.remove())

  const cgroup = (name: string, files: Record<string, string>) => {
    const path = join(directory.path, name)
    mkdirSync(path, { recursive: true })
    for (const [file, content] of Object.entries(files)) writeFileSync(join(path, file), content)
    return path
  }

  it('are handed down where they are there, and used where their files are', () => {
    const files = { 'cgroup.controllers': 'memory\n', 'cgroup.subtree_control': '' }
    const [own, base] = [cgroup('own', files), cgroup('own/base', files)]
    const probe = cgroup('own/base/probe', { 'memory.max': 'max\n' })
    expect(openControllers(own, base, probe)).toEqual({
      memory: null,
      pids: 'cgroup v2 has no pids controller here',
      cpu: 'cgroup v2 has no cpu controller here',
    })
    for (const path of [own, base]) {
      expect(readFileSync(join(path, 'cgroup.subtree_control'), 'utf8')).toBe('+memory')
    }
    expect(openControllers(own, base, cgroup('own/base/other', {})).memory).toBe('memory.max is not there')
  })

  it('[M1] a limit that the kernel refuses is no limit: the launch fails', () => {
    const run = cgroup('run', { 'memory.max': 'max\n' })
    expect(limitCgroup(run, [['memory.max', '5']])).toBeUndefined()
    expect(readFileSync(join(run, 'memory.max'), 'utf8')).toMatch(/^5/)
    expect(limitCgroup(run, [['pids.max', '5']])).toMatchObject({ code: 'LIMIT_REFUSED' })
  })
})
