import { describe, expect, it } from 'vitest'
import { collect } from '../../support/collect.ts'
import { newEvents } from '../../support/new-event.ts'
import type { Context } from './suite.ts'

export function readSuite(context: Context): void {
  const range = (from: number, to: number) =>
    Array.from({ length: Math.abs(to - from) + 1 }, (_, index) => (to > from ? from + index : from - index))

  describe('readStream', () => {
    it('[R24] reads either way, from anywhere, as many as wanted', async () => {
      const { store, stream } = context
      // More than any engine reads at once.
      await store.append(stream('noise'), newEvents(10), 'any')
      await store.append(stream('s'), newEvents(2_500), 'any')
      await store.append(stream('noise'), newEvents(10), 'any')
      const revisions = async (options?: Parameters<typeof store.readStream>[1]) =>
        (await collect(store.readStream(stream('s'), options))).map(({ revision }) => revision)

      expect(await revisions()).toEqual(range(0, 2_499))
      expect(await revisions({ from: 2_497 })).toEqual([2_497, 2_498, 2_499])
      expect(await revisions({ from: 3, maxCount: 2 })).toEqual([3, 4])
      expect(await revisions({ maxCount: 0 })).toEqual([])
      expect(await revisions({ from: 2_500 })).toEqual([])
      expect(await revisions({ direction: 'backwards' })).toEqual(range(2_499, 0))
      expect(await revisions({ direction: 'backwards', maxCount: 1 })).toEqual([2_499])
      expect(await revisions({ direction: 'backwards', from: 2, maxCount: 5 })).toEqual([2, 1, 0])
    })

    it('yields nothing for an unknown stream, nor for the prefix of one', async () => {
      const { store, stream } = context
      await store.append(stream('run-abc'), newEvents(1), 'any')
      expect(await collect(store.readStream(stream('nobody')))).toEqual([])
      expect(await collect(store.readStream(stream('run-')))).toEqual([])
      expect(await collect(store.readStream(stream('nobody'), { direction: 'backwards' }))).toEqual([])
    })

    it('throws when aborted, so that nobody takes a part for the whole', async () => {
      const { store, stream } = context
      await store.append(stream('s'), newEvents(5), 'any')
      const controller = new AbortController()
      const seen: number[] = []
      const reading = async () => {
        for await (const event of store.readStream(stream('s'), { signal: controller.signal })) {
          seen.push(event.revision)
          controller.abort(new Error('enough'))
        }
      }
      await expect(reading()).rejects.toThrow('enough')
      expect(seen).toEqual([0])
    })
  })

  describe('readAll', () => {
    it('[R24] reads every event after a position, in order', async () => {
      const { store, stream, start, log } = context
      expect(await collect(store.readAll(start))).toEqual([])
      for (let round = 0; round < 5; round += 1) {
        await Promise.all(['a', 'b', 'c'].map((name) => store.append(stream(name), newEvents(150), 'any')))
      }
      const all = await log()
      expect(all).toHaveLength(2_250)
      for (const name of ['a', 'b', 'c']) {
        const revisions = all.filter((event) => event.stream === stream(name)).map(({ revision }) => revision)
        expect(revisions).toEqual(range(0, 749))
      }
      const following = (index: number) => collect(store.readAll(all[index]?.position ?? 0))
      expect(await following(2_247)).toEqual(all.slice(2_248))
      expect(await following(1_300)).toEqual(all.slice(1_301))
      expect(await following(2_249)).toEqual([])
      expect(await collect(store.readAll((await store.head()) + 9_999))).toEqual([])
    })

    it('ends, though others go on appending', async () => {
      const { store, stream, start } = context
      await store.append(stream('s'), newEvents(1_500), 'any')
      let read = 0
      for await (const event of store.readAll(start)) {
        expect(event.revision).toBe(read)
        read += 1
        if (read % 100 === 0) await store.append(stream('s'), newEvents(100), 'any')
      }
      expect(read).toBeGreaterThanOrEqual(1_500)
      expect(read).toBeLessThan(5_000)
    })

    it('throws when aborted', async () => {
      const { store, stream } = context
      await store.append(stream('s'), newEvents(2), 'any')
      await expect(collect(store.readAll(0, { signal: AbortSignal.abort(new Error('enough')) }))).rejects.toThrow(
        'enough',
      )
    })
  })
}
