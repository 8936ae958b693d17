import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import type { EventStore } from '../../../src/event-store/event-store.ts'
import { openStore, type StoreAddress } from '../../support/event-stores.ts'

export type StoreUnderTest = { address: StoreAddress; destroy(): Promise<void> }

export type Context = {
  readonly address: StoreAddress
  /** The store as this process has it. Shared by all tests: a test has streams of its own. */
  readonly store: EventStore
  /** The same store once more, as another process would have it; closed after the test. */
  open(): EventStore
  /** Position of the last event before this test. */
  readonly start: number
  /** The name of one of this test's streams. */
  stream(name: string): string
}

/** One store for the whole suite, since an engine may take seconds to make one. */
export function useStore(makeStore: () => Promise<StoreUnderTest>): Context {
  let made: StoreUnderTest | undefined
  let store: EventStore | undefined
  let opened: EventStore[] = []
  let start = 0
  let test = 0

  const there = <Value>(value: Value | undefined): Value => {
    if (value === undefined) throw new Error('there is a store only within a test')
    return value
  }

  beforeAll(async () => {
    made = await makeStore()
    store = openStore(made.address)
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

  return {
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
    stream: (name) => `test${test}-${name}`,
  }
}
