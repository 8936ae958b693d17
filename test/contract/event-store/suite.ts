import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import type { RecordedEvent } from '../../../src/domain/event.ts'
import type { EventStore } from '../../../src/event-store/event-store.ts'
import { collect } from '../../support/collect.ts'
import { openStore, type StoreAddress } from '../../support/event-stores.ts'

export type StoreUnderTest = {
  address: StoreAddress
  /** Whether the engine's positions count events, so that none is left out: from 1 on. */
  countsEvents: boolean
  /** Whether others, and earlier runs of the suite, may have left something in it. */
  isUsed: boolean
  destroy(): Promise<void>
}

export type Context = {
  readonly address: StoreAddress
  readonly isUsed: boolean
  /** The store as this process has it. Shared by all tests: a test has streams of its own. */
  readonly store: EventStore
  /** The same store once more, as another process would have it; closed after the test. */
  open(): EventStore
  /** Position of the last event before this test. */
  readonly start: number
  /** The name of one of this test's streams. */
  stream(name: string): string
  /** The events of this test so far, in the store's order, which is checked. */
  log(): Promise<RecordedEvent[]>
  /** Which event of this test is at the position: 1 is the first one, 0 stands for `start`, -1 for none. */
  place(position: number | undefined): Promise<number>
}

/** One store for the whole suite, since an engine may take seconds to make one. */
export function useStore(makeStore: () => Promise<StoreUnderTest>): Context {
  let made: StoreUnderTest | undefined
  let store: EventStore | undefined
  let opened: EventStore[] = []
  let start = 0
  let test = 0
  let prefix = ''

  const there = <Value>(value: Value | undefined): Value => {
    if (value === undefined) throw new Error('there is a store only within a test')
    return value
  }

  beforeAll(async () => {
    made = await makeStore()
    store = openStore(made.address)
    if (made.isUsed) prefix = `t${Date.now().toString(36)}.`
  })
  beforeEach(async () => {
    test += 1
    start = await there(store).head()
  })
  afterEach(async () => {
    await Promise.all(opened.map((other) => other.close()))
    opened = []
  })
  afterAll(async () => {
    await store?.close()
    await made?.destroy()
  })

  async function log(): Promise<RecordedEvent[]> {
    const events = await collect(there(store).readAll(start))
    const positions = events.map(({ position }) => position)
    if (there(made).countsEvents) expect(positions).toEqual(events.map((_, index) => start + index + 1))
    for (const [index, position] of positions.entries()) {
      expect(position).toBeGreaterThan(index === 0 ? start : (positions[index - 1] ?? 0))
    }
    return events
  }

  return {
    log,
    async place(position) {
      if (position === start) return 0
      const index = (await log()).findIndex((event) => event.position === position)
      return index < 0 ? -1 : index + 1
    },
    get address() {
      return there(made).address
    },
    get store() {
      return there(store)
    },
    get start() {
      return start
    },
    open() {
      const other = openStore(there(made).address)
      opened.push(other)
      return other
    },
    stream: (name) => `${prefix}test${test}-${name}`,
    get isUsed() {
      return there(made).isUsed
    },
  }
}
