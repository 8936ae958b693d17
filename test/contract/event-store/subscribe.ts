import { describe, expect, it } from 'vitest'
import type { RecordedEvent } from '../../../src/domain/event.ts'
import type { AppendResult, EventBatch } from '../../../src/event-store/event-store.ts'
import { collect, follow } from '../../support/collect.ts'
import { newEvents } from '../../support/new-event.ts'
import type { Context } from './suite.ts'

const positionOf = (result: AppendResult) => (result.outcome === 'appended' ? result.position : undefined)

export function subscribeSuite(context: Context): void {
  const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

  describe('subscribe', () => {
    it('[R23] catches up and goes live without gap or duplicate, while several instances append', async () => {
      const { store, stream, start, log } = context
      const writers = [store, context.open(), context.open()]
      await store.append(stream('before'), newEvents(1_200), 'any')
      const middle = (await log())[599]?.position ?? 0
      const reader = context.open()
      const subscriptions = [
        follow(reader, { after: start }),
        follow(reader, { after: start, batchSize: 7 }),
        follow(store, { after: middle }),
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
      const all = await log()
      expect(all).toHaveLength(1_200 + 3 * 40 * 3)
      for (const subscription of subscriptions) {
        await subscription.until(() => subscription.batches.at(-1)?.position === all.at(-1)?.position)
        expect(subscription.events).toEqual(subscription === subscriptions[2] ? all.slice(600) : all)
        await subscription.stop()
      }
      expect(Math.max(...(subscriptions[1]?.batches ?? []).map(({ events }) => events.length))).toBe(7)
    })

    it('[R23] yields only what the filter matches, and still says how far it has come', async () => {
      const { store, stream, start, log, place } = context
      const filter = { streamPrefixes: [stream('run-'), stream('audit-x')] }
      await store.append(stream('telemetry-1'), newEvents(3), 'any')
      await store.append(stream('run-1'), newEvents(1), 'any')
      await store.append(stream('audit-xy'), newEvents(1), 'any')
      await store.append(stream('audit-y'), newEvents(3), 'any')
      const subscription = follow(store, { after: start, filter })
      const head = await store.head()
      expect(await place(head)).toBe(8)
      await subscription.until(() => subscription.batches.at(-1)?.position === head)
      expect(subscription.events.map((event) => event.stream)).toEqual([stream('run-1'), stream('audit-xy')])

      // Live: first only what it does not want, then something that it does.
      const unwanted = await store.append(stream('telemetry-1'), newEvents(1), 'any')
      await subscription.until(() => subscription.batches.at(-1)?.position === positionOf(unwanted))
      expect(subscription.batches.at(-1)?.events).toEqual([])
      await context.open().append(stream('run-2'), newEvents(1), 'any')
      await subscription.until(() => subscription.events.length === 3)
      expect(subscription.events.at(-1)).toEqual((await log())[9])
      expect(subscription.events.at(-1)).toMatchObject({ stream: stream('run-2') })
      const positions = subscription.batches.map(({ position }) => position)
      expect(positions).toEqual([...positions].sort((a, b) => a - b))
      await subscription.stop()
    })

    it('takes a filter as text: % and _ are letters', async () => {
      const { store, stream, start } = context
      await store.append(stream('run-1'), newEvents(1), 'any')
      const last = await store.append(stream('r_n%'), newEvents(1), 'any')
      const subscription = follow(store, { after: start, filter: { streamPrefixes: [stream('r_n%')] } })
      await subscription.until(() => subscription.batches.at(-1)?.position === positionOf(last))
      expect(subscription.events.map((event) => event.stream)).toEqual([stream('r_n%')])
      await subscription.stop()
    })

    it("yields from 'end' only what comes from now on, and says where that is", async () => {
      const { store, stream, log } = context
      await store.append(stream('s'), newEvents(5), 'any')
      const subscription = follow(store, { after: 'end' })
      await subscription.until(() => subscription.batches.length > 0)
      expect(subscription.batches[0]).toEqual({ events: [], position: (await log())[4]?.position })
      await store.append(stream('s'), newEvents(2), 'any')
      await subscription.until(() => subscription.events.length === 2)
      expect(subscription.events).toEqual((await log()).slice(5))
      await subscription.stop()
    })

    it('resumes after the position of any batch', async () => {
      const { store, stream, start, log } = context
      await store.append(stream('s'), newEvents(100), 'any')
      const all = await log()
      const seen: RecordedEvent[] = []
      for (let after = start; after < (all.at(-1)?.position ?? 0); ) {
        for await (const batch of store.subscribe({ after, batchSize: 9, signal: new AbortController().signal })) {
          seen.push(...batch.events)
          after = batch.position
          break
        }
      }
      expect(seen).toEqual(all)
    })

    it('is not hurried: a slow subscriber gets everything, in batches of its size', async () => {
      const { store, stream, start } = context
      const controller = new AbortController()
      const subscription = store.subscribe({ after: start, batchSize: 100, signal: controller.signal })
      const iterator = subscription[Symbol.asyncIterator]()
      const revisionsOf = (result: IteratorResult<EventBatch>) =>
        result.done ? [] : result.value.events.map(({ revision }) => revision)
      await store.append(stream('s'), newEvents(1), 'any')
      const first = await iterator.next()
      // While it sleeps over its first batch, more comes than anybody should keep for it.
      for (let round = 0; round < 6; round += 1) await store.append(stream('s'), newEvents(2_000), 'any')
      const seen = revisionsOf(first)
      while (seen.length < 12_001) {
        const more = revisionsOf(await iterator.next())
        expect(more.length).toBeLessThanOrEqual(100)
        seen.push(...more)
      }
      expect(seen).toEqual(upTo(12_001).map((number) => number - 1))
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
