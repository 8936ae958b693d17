import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { newEvent, newEvents } from '../../support/new-event.ts'
import type { Context } from './suite.ts'

export function idempotencySuite(context: Context): void {
  describe('a repeated append', () => {
    it('[R14] gets the first result, whatever has happened since', async () => {
      const { store, stream, log } = context
      const events = newEvents(2)
      const first = await store.append(stream('s'), events, 'no-stream')
      await store.append(stream('s'), newEvents(3), 'any')
      await store.append(stream('other'), newEvents(1), 'any')
      for (const expected of ['no-stream', 'any', 'stream-exists', 0, 99] as const) {
        expect(await store.append(stream('s'), events, expected)).toEqual({ ...first, duplicate: true })
      }
      expect(await context.open().append(stream('s'), events, 'no-stream')).toEqual({ ...first, duplicate: true })
      expect(await log()).toHaveLength(6)
    })

    it('is written once, made many times at once from several instances', async () => {
      const { store, stream, log } = context
      const stores = [store, context.open()]
      const events = newEvents(2)
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, index) => stores[index % 2]?.append(stream('s'), events, 'no-stream')),
      )
      expect(results.filter((result) => result?.outcome === 'appended' && !result.duplicate)).toHaveLength(1)
      for (const result of results) {
        expect(result).toMatchObject({ outcome: 'appended', revision: 1, position: await store.head() })
      }
      expect(await log()).toHaveLength(2)
    })

    it('is known by its ids regardless of their case, and per stream', async () => {
      const { store, stream } = context
      const id = randomUUID()
      await store.append(stream('s'), [newEvent({}, id)], 'any')
      const again = await store.append(stream('s'), [newEvent({}, id.toUpperCase())], 'any')
      expect(again).toMatchObject({ duplicate: true })
      const elsewhere = await store.append(stream('t'), [newEvent({}, id)], 'any')
      expect(elsewhere).toMatchObject({ duplicate: false, revision: 0 })
    })

    it('throws when some, not all, of its ids are known; nothing of it is written, no neighbour harmed', async () => {
      const { store, stream, log } = context
      const [known, fresh] = [newEvent(), newEvent()]
      await store.append(stream('s'), [known], 'any')
      const before = store.append(stream('a'), newEvents(1), 'any')
      const partly = store.append(stream('s'), [known, fresh], 'any')
      const after = store.append(stream('s'), newEvents(1), 0)
      await expect(partly).rejects.toThrow(/some are in the stream and some are not/)
      expect([(await before).outcome, (await after).outcome]).toEqual(['appended', 'appended'])
      expect(await log()).toHaveLength(3)
      expect(await store.append(stream('s'), [fresh], 'any')).toMatchObject({ duplicate: false })
    })

    it('cannot hide within one append: an id twice is refused', async () => {
      const event = newEvent()
      await expect(context.store.append(context.stream('s'), [event, event], 'any')).rejects.toThrow(TypeError)
    })
  })
}
