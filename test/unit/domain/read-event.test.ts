import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { RecordedEvent } from '../../../src/domain/event.ts'
import { type EventFamily, readEvent, versionIn, versionsIn } from '../../../src/domain/read-event.ts'
import { record, requested } from '../../support/run-events.ts'

const schemas = {
  Moved: z.object({ place: z.object({ x: z.number(), y: z.number() }), by: z.string() }),
  Rested: z.object({}),
}
/** v1 `{ x }` → v2 `{ x, y }` → v3 `{ place: { x, y }, by }`. */
const moves: EventFamily<typeof schemas> = {
  schemas,
  upcasters: {
    Moved: [
      (data) => ({ ...(data as object), y: 0 }),
      (data) => {
        const { x, y } = data as { x: number; y: number }
        return { place: { x, y }, by: 'nobody knows' }
      },
    ],
  },
}

const [envelope] = record([requested()])
const recorded = (type: string, v: number, data: unknown) =>
  ({ ...envelope, type, v, data }) as unknown as RecordedEvent

describe('[R41] an event of an older version', () => {
  it('is brought up to date step by step, from wherever it stands', () => {
    const today = { place: { x: 4, y: 0 }, by: 'nobody knows' }
    expect(readEvent(moves, recorded('Moved', 1, { x: 4 }))).toMatchObject({ type: 'Moved', v: 3, data: today })
    expect(readEvent(moves, recorded('Moved', 2, { x: 4, y: 0 }))).toMatchObject({ v: 3, data: today })
    expect(readEvent(moves, recorded('Moved', 3, today))).toMatchObject({ v: 3, data: today })
  })

  it('leaves what was recorded as it is', () => {
    const old = Object.freeze({ x: 4 })
    readEvent(moves, recorded('Moved', 1, old))
    expect(old).toEqual({ x: 4 })
  })

  it('has as many versions as steps, and one', () => {
    expect(versionIn(moves, 'Moved')).toBe(3)
    expect(versionsIn(moves)).toEqual({ Moved: 3, Rested: 1 })
  })

  it.each([0, -1, 4, 2 ** 31])('of version %d, which does not exist here, is passed over', (v) => {
    expect(readEvent(moves, recorded('Moved', v, { x: 4 }))).toBeUndefined()
  })

  it('that is not what its version says is an error that says where it stands', () => {
    expect(() => readEvent(moves, recorded('Moved', 1, null))).toThrow(/Moved v1 does not fit its schema/)
    expect(() => readEvent(moves, recorded('Moved', 2, 'far'))).toThrow(/Moved v2 does not fit its schema/)
  })
})
