import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { keepRunning } from '../../../src/control/keep-running.ts'
import { StoreUnavailable } from '../../../src/event-store/event-store.ts'
import { recordingLog } from '../../support/control-world.ts'

// A stand-in for the pause, because fake timers do not reach node:timers/promises.
const pauses = vi.hoisted(() => [] as number[])
vi.mock('../../../src/control/delay.ts', () => ({
  delayOrAbort: async (ms: number) => {
    pauses.push(ms)
    await new Promise(setImmediate)
  },
}))

let controller: AbortController
beforeEach(() => {
  controller = new AbortController()
  pauses.length = 0
})
afterEach(() => controller.abort())

it('begins a loop again that broke, with growing pauses, until the signal aborts', async () => {
  const { log, lines } = recordingLog()
  let begun = 0
  await keepRunning(
    'the loop',
    async () => {
      begun += 1
      if (begun === 10) controller.abort()
      throw begun === 2 ? new StoreUnavailable('away') : new Error('broken')
    },
    log,
    controller.signal,
  )
  expect(begun).toBe(10)
  expect(pauses).toEqual([100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000])
  expect(lines.slice(0, 2)).toEqual([
    'error: the loop broke; beginning again',
    'warn: the loop: the event store is away; trying again',
  ])
  expect(lines).toHaveLength(9)
})

it('a loop that ends at once is no busy loop', async () => {
  const { log } = recordingLog()
  let begun = 0
  await keepRunning(
    'the loop',
    async () => {
      begun += 1
      if (begun === 3) controller.abort()
    },
    log,
    controller.signal,
  )
  expect(pauses.length).toBe(3)
})

it('a loop that worked for a while before it broke is begun again soon', async () => {
  const { log } = recordingLog()
  const clock = vi.spyOn(performance, 'now').mockReturnValue(0)
  let begun = 0
  await keepRunning(
    'the loop',
    async () => {
      begun += 1
      if (begun === 5) clock.mockReturnValue(60_000)
      if (begun === 6) controller.abort()
      throw new Error('broken')
    },
    log,
    controller.signal,
  )
  clock.mockRestore()
  expect(pauses).toEqual([100, 200, 400, 800, 100])
})
