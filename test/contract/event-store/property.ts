import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { NewEvent } from '../../../src/domain/event.ts'
import type { AppendResult, ExpectedRevision } from '../../../src/event-store/event-store.ts'
import { collect } from '../../support/collect.ts'
import { newEvents } from '../../support/new-event.ts'
import type { Context } from './suite.ts'

/** Several appends at once, each to a stream of its own, so that their results do not depend on who was first. */
const appendArbitrary = fc.record({
  stream: fc.integer({ min: 0, max: 3 }),
  count: fc.integer({ min: 1, max: 4 }),
  expected: fc.constantFrom('any', 'no-stream', 'stream-exists', 'right', 'wrong'),
  repeat: fc.option(fc.nat(5), { freq: 4 }),
})
const roundArbitrary = fc.uniqueArray(appendArbitrary, {
  minLength: 1,
  maxLength: 4,
  selector: (append) => append.stream,
})

export function propertySuite(context: Context): void {
  describe('any sequence of appends', () => {
    it('[R41] ends as a simple list in memory would', async () => {
      const { store, log } = context
      const rounds = fc.array(roundArbitrary, { minLength: 1, maxLength: 8 })
      await fc.assert(
        fc.asyncProperty(rounds, async (script) => {
          const run = randomUUID()
          const start = await store.head()
          const model = Array.from({ length: 4 }, () => ({ appends: [] as Done[], events: [] as NewEvent[] }))
          for (const round of script) {
            await Promise.all(
              round.map(async ({ stream, count, expected, repeat }) => {
                const state = model[stream]
                if (state === undefined) throw new Error('a stream of the model')
                const again = repeat === null ? undefined : state.appends[repeat]
                const events = again?.events ?? newEvents(count)
                const wanted = expectedRevision(expected, state.events.length - 1)
                const result = await store.append(`${run}-${stream}`, events, wanted)
                expect(withoutPosition(result)).toEqual(predict(state.events.length - 1, events, wanted, again))
                if (again !== undefined) return expect(result).toEqual({ ...again.result, duplicate: true })
                if (result.outcome !== 'appended') return
                state.appends.push({ events, result })
                state.events.push(...events)
              }),
            )
          }
          for (const [stream, { events }] of model.entries()) {
            const read = await collect(store.readStream(`${run}-${stream}`))
            expect(read.map(({ metadata }) => metadata)).toEqual(events.map(({ metadata }) => metadata))
            expect(read.map(({ revision }) => revision)).toEqual(events.map((_, index) => index))
          }
          const all = await collect(store.readAll(start))
          const total = model.reduce((sum, { events }) => sum + events.length, 0)
          expect(all).toHaveLength(total)
          const positions = all.map(({ position }) => position)
          expect(positions).toEqual([...new Set(positions)].toSorted((a, b) => a - b))
          const placeOf = new Map(all.map((event) => [event.metadata.eventId, event.position]))
          for (const { events, result } of model.flatMap(({ appends }) => appends)) {
            expect(result.position).toBe(placeOf.get(events.at(-1)?.metadata.eventId ?? ''))
          }
        }),
        { numRuns: 40 },
      )
      await log()
    })
  })
}

type Done = { events: NewEvent[]; result: AppendResult & { outcome: 'appended' } }

function expectedRevision(kind: string, actual: number): ExpectedRevision {
  if (kind === 'right') return actual === -1 ? 'no-stream' : actual
  if (kind === 'wrong') return actual + 1
  return kind as ExpectedRevision
}

function predict(actual: number, events: NewEvent[], expected: ExpectedRevision, again: Done | undefined) {
  if (again !== undefined) return { outcome: 'appended', revision: again.result.revision, duplicate: true }
  const fits =
    expected === 'any' ||
    (expected === 'no-stream' && actual === -1) ||
    (expected === 'stream-exists' && actual >= 0) ||
    expected === actual
  if (!fits) return { outcome: 'wrong-expected-revision', expected, actual }
  return { outcome: 'appended', revision: actual + events.length, duplicate: false }
}

function withoutPosition(result: AppendResult) {
  if (result.outcome !== 'appended') return result
  const { position: _, ...rest } = result
  return rest
}
