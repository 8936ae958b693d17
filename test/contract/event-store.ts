import { describe } from 'vitest'
import { appendSuite } from './event-store/append.ts'
import { idempotencySuite } from './event-store/idempotency.ts'
import { processSuite } from './event-store/processes.ts'
import { propertySuite } from './event-store/property.ts'
import { readSuite } from './event-store/read.ts'
import { retentionSuite } from './event-store/retention.ts'
import { statsSuite } from './event-store/stats.ts'
import { subscribeSuite } from './event-store/subscribe.ts'
import { type StoreUnderTest, useStore } from './event-store/suite.ts'

const suites = [
  ...[appendSuite, idempotencySuite, readSuite, subscribeSuite, propertySuite, processSuite],
  ...[retentionSuite, statsSuite],
]

/**
 * What every engine of the event store must do: each promise of src/event-store/event-store.ts, by test.
 * @param makeStore makes a store with nothing in it.
 */
export function describeEventStore(name: string, makeStore: () => Promise<StoreUnderTest>): void {
  describe(`event store: ${name}`, () => {
    const context = useStore(makeStore)
    for (const suite of suites) suite(context)
  })
}
