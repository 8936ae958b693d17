import { describe, expect, it } from 'vitest'
import type { RecordedEvent } from '../../../src/domain/event.ts'
import { createTail } from '../../../src/event-store/tail.ts'
import { newEvent } from '../../support/new-event.ts'

const event = (position: number, stream: string): RecordedEvent => ({
  ...newEvent(),
  stream,
  revision: 0,
  position,
  recordedAt: '2026-11-21T10:00:00.000Z',
})
/** Positions from + 1 to `to`; odd ones in stream `odd-1`. */
const page = (from: number, to: number, bytes = 100) => ({
  events: Array.from({ length: to - from }, (_, index) =>
    event(from + index + 1, (from + index + 1) % 2 === 1 ? 'odd-1' : 'even-1'),
  ),
  position: to,
  bytes,
})
const positions = (batch: { events: RecordedEvent[] } | undefined) => batch?.events.map(({ position }) => position)

describe('tail', () => {
  it('gives what follows a position, filtered, and says how far it looked', () => {
    const tail = createTail(10)
    tail.add(page(10, 13))
    tail.add(page(13, 16))
    expect(positions(tail.batchAfter(10, 100))).toEqual([11, 12, 13, 14, 15, 16])
    expect(positions(tail.batchAfter(12, 2))).toEqual([13, 14])
    expect(tail.batchAfter(12, 2)?.position).toBe(14)
    expect(positions(tail.batchAfter(12, 100, { streamPrefixes: ['odd-'] }))).toEqual([13, 15])
    expect(tail.batchAfter(12, 100, { streamPrefixes: ['odd-'] })?.position).toBe(16)
    expect(tail.batchAfter(16, 100)).toEqual({ events: [], position: 16 })
    expect(tail.batchAfter(20, 100)).toEqual({ events: [], position: 20 })
  })

  it('does not have what came before it', () => {
    expect(createTail(10).batchAfter(9, 100)).toBeUndefined()
  })

  it('forgets the oldest beyond its number of events, and beyond its bytes', () => {
    for (const limits of [
      { events: 100, bytes: 1_000_000 },
      { events: 1_000_000, bytes: 1_000 },
    ]) {
      const tail = createTail(0, limits)
      for (let from = 0; from < 1_000; from += 10) tail.add(page(from, from + 10, 100))
      expect(tail.batchAfter(899, 1_000)).toBeUndefined()
      expect(positions(tail.batchAfter(960, 1_000))).toHaveLength(40)
    }
  })

  it('keeps not even one page that is larger than it may be', () => {
    const tail = createTail(0, { events: 10, bytes: 100 })
    tail.add(page(0, 1, 1_000))
    expect(tail.batchAfter(0, 10)).toBeUndefined()
    expect(tail.batchAfter(1, 10)).toEqual({ events: [], position: 1 })
  })
})
