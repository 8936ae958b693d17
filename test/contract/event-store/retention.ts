import { describe, expect, it } from 'vitest'
import type { EventStore } from '../../../src/event-store/event-store.ts'
import { collect, follow } from '../../support/collect.ts'
import { newEvent, newEvents } from '../../support/new-event.ts'
import { waitUntil } from '../../support/wait-until.ts'
import type { Context } from './suite.ts'

export function retentionSuite(context: Context): void {
  const revisions = async (stream: string, options?: Parameters<EventStore['readStream']>[1]) =>
    (await collect(context.store.readStream(stream, options))).map(({ revision }) => revision)

  describe('retention', () => {
    it('[R41] keeps so many of the newest events; the others keep their places', async () => {
      const { store, stream, start } = context
      const [limited, other] = [stream('limited'), stream('other')]
      // More than is removed at once.
      await store.append(limited, newEvents(1_500), 'any')
      await store.append(other, newEvents(5), 'any')
      await store.append(limited, newEvents(20), 'any')
      const before = await collect(store.readStream(limited, { from: 1_510 }))
      await store.setRetention(limited, { maxCount: 10 })
      await store.retire()

      expect(await collect(store.readStream(limited))).toEqual(before)
      expect(await revisions(limited, { from: 1_400, maxCount: 2 })).toEqual([1_510, 1_511])
      expect(await revisions(limited, { direction: 'backwards', maxCount: 2 })).toEqual([1_519, 1_518])
      expect(await revisions(limited, { direction: 'backwards', from: 1_500 })).toEqual([])
      expect(await revisions(other)).toEqual([0, 1, 2, 3, 4])
      const all = await collect(store.readAll(start))
      expect(all.filter((event) => event.stream === other)).toHaveLength(5)
      expect(all.filter((event) => event.stream === limited).slice(-10)).toEqual(before)
      const live = follow(store, { after: start })
      await live.until(() => live.events.length >= all.length)
      await live.stop()
      expect(live.events).toEqual(all)

      expect(await store.append(limited, newEvents(1), 0)).toMatchObject({ actual: 1_519 })
      expect(await store.append(limited, newEvents(1), 1_519)).toMatchObject({ outcome: 'appended', revision: 1_520 })
    })

    it('[R41] removes by age, to the last event; the stream goes on with its next revision', async () => {
      const { store, stream } = context
      const [young, old] = [stream('young'), stream('old')]
      await store.append(young, newEvents(3), 'any')
      await store.append(old, newEvents(3), 'any')
      await store.setRetention(young, { maxAgeMs: 3_600_000, maxCount: 100 })
      await store.setRetention(old, { maxAgeMs: 1_000 })
      await waitUntil(async () => {
        await store.retire()
        return (await revisions(old)).length === 0
      }, 'the events to be old enough')
      expect(await revisions(young)).toEqual([0, 1, 2])

      expect(await store.append(old, newEvents(1), 'no-stream')).toMatchObject({ actual: 2 })
      expect(await store.append(old, newEvents(1), 'stream-exists')).toMatchObject({ outcome: 'appended', revision: 3 })
      expect(await store.append(old, newEvents(1), 3)).toMatchObject({ outcome: 'appended', revision: 4 })
    })

    it('[R41] can be set before there is a stream, set anew and lifted', async () => {
      const { store, stream } = context
      const [early, lifted] = [stream('early'), stream('lifted')]
      await store.setRetention(early, { maxCount: 4 })
      await store.setRetention(early, { maxCount: 2 })
      await store.append(early, newEvents(5), 'no-stream')
      await store.append(lifted, newEvents(5), 'any')
      await store.setRetention(lifted, { maxCount: 1 })
      await store.setRetention(lifted, {})
      await store.retire()
      expect(await revisions(early)).toEqual([3, 4])
      expect(await revisions(lifted)).toEqual([0, 1, 2, 3, 4])
    })

    it('[R41] goes on beside appends: nobody is held up, nobody misses an event or meets one twice', async () => {
      const { store, stream, start } = context
      const names = ['a', 'b', 'c'].map(stream)
      await Promise.all(names.map((name) => store.append(name, newEvents(1_000), 'any')))
      const live = follow(store, { after: await store.head() })
      for (const name of names) await store.setRetention(name, { maxCount: 5 })
      const ids: string[] = []
      const append = async (name: string) => {
        for (let count = 0; count < 50; count += 1) {
          const event = newEvent()
          ids.push(event.metadata.eventId)
          await store.append(name, [event], 'stream-exists')
        }
      }
      await Promise.all([store.retire(), context.open().retire(), ...names.map(append)])
      // Only what is to stay for certain: those in between may be removed before the subscription comes to them.
      const last = [stream('last')]
      await Promise.all(last.map((name) => store.append(name, newEvents(1), 'any')))
      await live.until(() => live.events.at(-1)?.stream === last[0])
      await live.stop()
      const seen = live.events.map(({ metadata }) => metadata.eventId)
      expect(new Set(seen).size).toBe(seen.length)
      const positions = live.events.map(({ position }) => position)
      expect(positions).toEqual(positions.toSorted((a, b) => a - b))
      for (const name of names) {
        const kept = await collect(store.readStream(name))
        expect(kept.at(-1)?.revision).toBe(1_049)
        for (const { metadata } of kept.slice(-5)) expect(seen).toContain(metadata.eventId)
      }
      expect((await collect(store.readAll(start))).length).toBeGreaterThanOrEqual(3 * 5 + 1)
    })

    it('refuses what is no retention', async () => {
      const { store, stream } = context
      for (const retention of [{ maxCount: 0 }, { maxAgeMs: -1 }, { maxCount: 1.5 }, { maxAgeMs: Number.NaN }]) {
        await expect(store.setRetention(stream('s'), retention)).rejects.toThrow(TypeError)
      }
      await expect(store.setRetention('no name', { maxCount: 1 })).rejects.toThrow(TypeError)
    })
  })
}
