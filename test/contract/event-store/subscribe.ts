import { describe, expect, it } from 'vitest'
import type { EventBatch } from '../../../src/event-store/event-store.ts'
import { collect, follow } from '../../support/collect.ts'
import { newEvents } from '../../support/new-event.ts'
import type { Context } from './suite.ts'

export function subscribeSuite(context: Context): void {
  const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

  describe('subscribe', () => {
    it('[R23] catches up and goes live without gap or duplicate, while several instances append', async () => {
      const { store, stream, start } = context
      const writers = [store, context.open(), context.open()]
      await store.append(stream('before'), newEvents(1_200), 'any')
      const reader = context.open()
      const subscriptions = [
        follow(reader, { after: start }),
        follow(reader, { after: start, batchSize: 7 }),
        follow(store, { after: start + 600 }),
      ]
      await Promise.all(
        writers.map(async (writer, index) => {
          for (let round = 0; round < 40; round += 1) {
            await Promise.all([
              writer.append(stream(`run-${index}`), newEvents(1), 'any'),
              writer.append(stream('shared'), newEvents(2), 'any'),
            ])
          }
        }),
      )
      const total = 1_200 + 3 * 40 * 3
      for (const subscription of subscriptions) {
        await subscription.until(() => subscription.batches.at(-1)?.position === start + total)
        const expected = subscription === subscriptions[2] ? upTo(total).slice(600) : upTo(total)
        expect(subscription.events.map(({ position }) => position - start)).toEqual(expected)
        await subscription.stop()
      }
      expect(Math.max(...(subscriptions[1]?.batches ?? []).map(({ events }) => events.length))).toBe(7)
    })

    it('[R23] yields only what the filter matches, and still says how far it has come', async () => {
      const { store, stream, start } = context
      const filter = { streamPrefixes: [stream('run-'), stream('audit-x')] }
      await store.append(stream('telemetry-1'), newEvents(3), 'any')
      await store.append(stream('run-1'), newEvents(1), 'any')
      await store.append(stream('audit-xy'), newEvents(1), 'any')
      await store.append(stream('audit-y'), newEvents(3), 'any')
      const subscription = follow(store, { after: start, filter })
      await subscription.until(() => subscription.batches.at(-1)?.position === start + 8)
      expect(subscription.events.map((event) => event.stream)).toEqual([stream('run-1'), stream('audit-xy')])

      // Live: first only what it does not want, then something that it does.
      await store.append(stream('telemetry-1'), newEvents(1), 'any')
      await subscription.until(() => subscription.batches.at(-1)?.position === start + 9)
      expect(subscription.batches.at(-1)?.events).toEqual([])
      await context.open().append(stream('run-2'), newEvents(1), 'any')
      await subscription.until(() => subscription.events.length === 3)
      expect(subscription.events.at(-1)).toMatchObject({ stream: stream('run-2'), position: start + 10 })
      const positions = subscription.batches.map(({ position }) => position - start)
      expect(positions).toEqual([...positions].sort((a, b) => a - b))
      await subscription.stop()
    })

    it('takes a filter as text: % and _ are letters', async () => {
      const { store, stream, start } = context
      await store.append(stream('run-1'), newEvents(1), 'any')
      await store.append(stream('r_n%'), newEvents(1), 'any')
      const subscription = follow(store, { after: start, filter: { streamPrefixes: [stream('r_n%')] } })
      await subscription.until(() => subscription.batches.at(-1)?.position === start + 2)
      expect(subscription.events.map((event) => event.stream)).toEqual([stream('r_n%')])
      await subscription.stop()
    })

    it("yields from 'end' only what comes from now on, and says where that is", async () => {
      const { store, stream, start } = context
      await store.append(stream('s'), newEvents(5), 'any')
      const subscription = follow(store, { after: 'end' })
      await subscription.until(() => subscription.batches.length > 0)
      expect(subscription.batches[0]).toEqual({ events: [], position: start + 5 })
      await store.append(stream('s'), newEvents(2), 'any')
      await subscription.until(() => subscription.events.length === 2)
      expect(subscription.events.map(({ position }) => position - start)).toEqual([6, 7])
      await subscription.stop()
    })

    it('resumes after the position of any batch', async () => {
      const { store, stream, start } = context
      await store.append(stream('s'), newEvents(100), 'any')
      const seen: number[] = []
      for (let after = start; after < start + 100; ) {
        for await (const batch of store.subscribe({ after, batchSize: 9, signal: new AbortController().signal })) {
          seen.push(...batch.events.map(({ position }) => position - start))
          after = batch.position
          break
        }
      }
      expect(seen).toEqual(upTo(100))
    })

    it('is not hurried: a slow subscriber gets everything, in batches of its size', async () => {
      const { store, stream, start } = context
      const controller = new AbortController()
      const subscription = store.subscribe({ after: start, batchSize: 100, signal: controller.signal })
      const iterator = subscription[Symbol.asyncIterator]()
      const positionsOf = (result: IteratorResult<EventBatch>) =>
        result.done ? [] : result.value.events.map(({ position }) => position - start)
      await store.append(stream('s'), newEvents(1), 'any')
      const first = await iterator.next()
      // While it sleeps over its first batch, more comes than anybody should keep for it.
      for (let round = 0; round < 6; round += 1) await store.append(stream('s'), newEvents(2_000), 'any')
      const seen = positionsOf(first)
      while (seen.length < 12_001) {
        const more = positionsOf(await iterator.next())
        expect(more.length).toBeLessThanOrEqual(100)
        seen.push(...more)
      }
      expect(seen).toEqual(upTo(12_001))
      controller.abort()
      expect(await iterator.next()).toEqual({ done: true, value: undefined })
    })

    it('ends at once on abort, live or before it began, and on close', async () => {
      const { store, stream, start } = context
      expect(await collect(store.subscribe({ after: start, signal: AbortSignal.abort() }))).toEqual([])
      const subscription = follow(store, { after: start })
      await store.append(stream('s'), newEvents(1), 'any')
      await subscription.until(() => subscription.events.length === 1)
      const started = performance.now()
      await subscription.stop()
      expect(performance.now() - started).toBeLessThan(100)

      const other = context.open()
      const closed = follow(other, { after: start })
      await closed.until(() => closed.events.length === 1)
      await other.close()
      await closed.ended
    })

    it('serves many subscribers', async () => {
      const { store, stream, start } = context
      const subscriptions = upTo(200).map((n) =>
        follow(store, { after: start, filter: { streamPrefixes: [stream(`run-${n}-`)] } }),
      )
      await Promise.all(upTo(200).map((n) => store.append(stream(`run-${n}-`), newEvents(2), 'any')))
      await Promise.all(subscriptions.map((subscription) => subscription.until(() => subscription.events.length === 2)))
      await Promise.all(subscriptions.map((subscription) => subscription.stop()))
    })
  })
}
