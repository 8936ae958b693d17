import { expect, it } from 'vitest'
import { newEvents } from '../../support/new-event.ts'
import type { Context } from './suite.ts'

export function statsSuite(context: Context): void {
  it('[R41] stats: what is in the store, as far as the engine can tell', async () => {
    const { store, stream } = context
    const before = await store.stats()
    const kind = stream('').split('-')[0] as string
    await store.append(stream('a'), newEvents(10), 'any')
    await store.append(stream('b'), newEvents(3), 'any')
    await store.setRetention(stream('a'), { maxCount: 4 })
    const removed = await store.retire()
    const stats = await store.stats()

    expect(stats).toMatchObject({ storeId: await store.storeId(), head: await store.head(), engine: before.engine })
    expect(Date.parse(stats.newestAt ?? '')).toBeGreaterThan(Date.now() - 60_000)
    const unlessNull = <Value>(value: Value | null, check: (value: Value) => void) => value !== null && check(value)
    unlessNull(stats.events, (events) => expect(events).toBe((before.events ?? 0) + 13 - removed))
    unlessNull(stats.retiredEvents, (retired) => expect(retired).toBe((before.retiredEvents ?? 0) + removed))
    // Of these streams six; what else was removed meanwhile had grown too old, in other tests' streams.
    unlessNull(stats.streams, (streams) => expect(streams).toContainEqual({ kind, streams: 2, events: 7, retired: 6 }))
    unlessNull(stats.bytesOnDisk, (bytes) => expect(bytes).toBeGreaterThan(0))
    unlessNull(stats.appendedPerSecond, (rate) => expect(rate).toBeGreaterThan(0))
    unlessNull(stats.oldestAt, (at) => expect(Date.parse(at)).toBeLessThanOrEqual(Date.parse(stats.newestAt ?? '')))
  })
}
