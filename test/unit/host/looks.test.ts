import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FactLog } from '../../../src/host/fact-log.ts'
import { Looks } from '../../../src/host/looks.ts'
import { hostId, root, runId, started, turn } from '../../support/run-events.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

const epoch = Date.parse('2026-01-01T00:00:00.000Z')
const intervalMs = 5_000

/** The three clocks of a machine, as a test moves them. */
let clocks: { wall: number; awake: number; sinceBoot: number }
let directory: ReturnType<typeof makeTemporaryDirectory>
let facts: FactLog
let crashAt: string | undefined
beforeEach(async () => {
  clocks = { wall: epoch, awake: 0, sinceBoot: 1_000_000 }
  directory = makeTemporaryDirectory()
  crashAt = undefined
  facts = await openFacts()
})
afterEach(async () => {
  await facts.close()
  directory.remove()
})

const openFacts = () =>
  FactLog.open({
    ...{ hostId, runId, path: `${directory.path}/facts.jsonl`, acknowledgedPath: `${directory.path}/acknowledged` },
    factSequence: 0,
    clock: () => new Date(clocks.wall),
    crashPoint: (name) => {
      if (name === crashAt) throw new Error('crash')
    },
    onFact() {},
  })

const looksFrom = (before?: number) =>
  new Looks(facts, {
    clock: () => new Date(clocks.wall),
    steady: { awakeMs: () => clocks.awake, sinceBootMs: () => clocks.sinceBoot },
    intervalMs,
    before,
  })

const pass = (ms: number) => {
  clocks = { wall: clocks.wall + ms, awake: clocks.awake + ms, sinceBoot: clocks.sinceBoot + ms }
}
const sleep = (ms: number) => {
  clocks = { ...clocks, wall: clocks.wall + ms, sinceBoot: clocks.sinceBoot + ms }
}
const setClock = (ms: number) => {
  clocks = { ...clocks, wall: clocks.wall + ms }
}
const start = (changes: Parameters<typeof started>[0] = {}) =>
  facts.emit([started({ startedAt: new Date(clocks.wall).toISOString(), ...changes })])
const gaps = () => facts.after(0, 100).flatMap(({ body }) => (body.type === 'SamplingInterrupted' ? [body.data] : []))

/** The agent is gone and another one comes. `lookedAt`: what the first one left on the disk. */
async function restart(lookedAt: number | undefined): Promise<Looks> {
  await facts.close()
  facts = await openFacts()
  clocks = { ...clocks, awake: 0 }
  return looksFrom(lookedAt)
}

async function lookRegularly(looks: Looks, times: number) {
  for (let time = 0; time < times; time += 1) {
    pass(intervalMs)
    await looks.begin()
  }
}

describe('[R16] time that nobody looked (invariant 9)', () => {
  it('is none while looks are regular, or a little late', async () => {
    const looks = looksFrom()
    await looks.begin()
    await start()
    await lookRegularly(looks, 5)
    pass(2 * intervalMs)
    await looks.begin()
    expect(gaps()).toEqual([])
  })

  it('a process that was stopped, and goes on', async () => {
    const looks = looksFrom()
    await start()
    await lookRegularly(looks, 2)
    pass(65_000)
    await looks.begin()
    await lookRegularly(looks, 2)
    expect(gaps()).toEqual([{ gapMs: 60_000, cause: 'suspended' }])
  })

  it('a machine that slept', async () => {
    const looks = looksFrom()
    await start()
    await lookRegularly(looks, 2)
    sleep(8 * 3_600_000)
    await lookRegularly(looks, 2)
    expect(gaps()).toEqual([{ gapMs: 8 * 3_600_000, cause: 'suspended' }])
  })

  it.each([
    ['forwards', 3_600_000],
    ['back', -3_600_000],
  ])('a clock that was set %s', async (_, jump) => {
    const looks = looksFrom()
    await start()
    await lookRegularly(looks, 2)
    setClock(jump)
    await lookRegularly(looks, 2)
    expect(gaps()).toEqual([{ gapMs: jump, cause: 'clock-set' }])
  })

  it('a clock that was set while the process was stopped: the age has grown by one interval all the same', async () => {
    const looks = looksFrom()
    await start()
    await lookRegularly(looks, 2)
    setClock(-3_600_000)
    pass(65_000)
    await looks.begin()
    expect(gaps()).toEqual([{ gapMs: -3_600_000 + 60_000, cause: 'clock-set' }])
  })

  it('of a run that had only just started: not more than its age', async () => {
    const looks = looksFrom(epoch - 1_000_000)
    await start()
    pass(65_000)
    await looks.begin()
    expect(gaps()).toEqual([{ gapMs: 65_000, cause: 'suspended' }])
  })
})

describe('[R14] an agent that takes over', () => {
  it('counts from the last look of the one before, to its own first', async () => {
    await start()
    await lookRegularly(looksFrom(), 10)
    const last = clocks.wall
    pass(40 * 60_000)
    const looks = await restart(last)
    await facts.emit([{ type: 'RunAdopted', data: { root } }])
    pass(3_000)
    await looks.begin()
    await lookRegularly(looks, 3)
    expect(gaps()).toEqual([{ gapMs: 40 * 60_000 + 3_000, cause: 'agent-down' }])
  })

  it('says so before it says what it sees', async () => {
    await start()
    pass(40 * 60_000)
    const looks = await restart(undefined)
    await looks.begin()
    await facts.emit([turn(1)])
    expect(facts.after(0, 100).map(({ body }) => body.type)).toEqual([
      'RunStarted',
      'SamplingInterrupted',
      'TurnCompleted',
    ])
  })

  it('a quick restart is no gap', async () => {
    await start()
    pass(4_000)
    const looks = await restart(undefined)
    pass(5_000)
    await looks.begin()
    expect(gaps()).toEqual([])
  })

  it('[R14] a gap that was told before a crash is not told again; one that was not, is', async () => {
    await start()
    const last = clocks.wall
    pass(60_000)
    const before = await restart(last)
    crashAt = 'before fact SamplingInterrupted'
    await expect(before.begin()).rejects.toThrow('crash')
    pass(1_000)
    const crashing = await restart(last)
    crashAt = 'after fact SamplingInterrupted'
    await expect(crashing.begin()).rejects.toThrow('crash')
    crashAt = undefined
    pass(2_000)
    // What the agent would have left on the disk is still the moment before.
    const next = await restart(last)
    await next.begin()
    await lookRegularly(next, 2)
    expect(gaps()).toEqual([{ gapMs: 61_000, cause: 'agent-down' }])
  })

  it('a clock that was set back meanwhile', async () => {
    await start()
    await lookRegularly(looksFrom(), 10)
    const last = clocks.wall
    setClock(-3_600_000)
    pass(60_000)
    const looks = await restart(last)
    await looks.begin()
    expect(gaps()).toEqual([{ gapMs: -3_600_000 + 60_000, cause: 'clock-set' }])
  })

  it('a launch that nobody lived to tell of: what passed since it started', async () => {
    const startedAt = new Date(clocks.wall).toISOString()
    pass(60_000)
    const looks = await restart(undefined)
    await start({ startedAt })
    await looks.begin()
    expect(gaps()).toEqual([{ gapMs: 60_000, cause: 'agent-down' }])
  })

  it('[R12] a registered process that is older than its registration', async () => {
    const looks = looksFrom(epoch - 1_000_000)
    await start({ startedAt: new Date(epoch - 48 * 3_600_000).toISOString(), shim: null })
    pass(intervalMs)
    await looks.begin()
    expect(gaps()).toEqual([])
  })
})
