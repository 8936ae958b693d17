import { describe, expect, it } from 'vitest'
import type { NewEvent } from '../../../src/domain/event.ts'
import { type AppendResult, type ExpectedRevision, StoreUnavailable } from '../../../src/event-store/event-store.ts'
import { collect } from '../../support/collect.ts'
import { newEvent, newEvents } from '../../support/new-event.ts'
import type { Context } from './suite.ts'

export function appendSuite(context: Context): void {
  /** A result with the place of its position among this test's events. */
  async function placed(result: AppendResult) {
    if (result.outcome !== 'appended') return result
    const { position, ...rest } = result
    return { ...rest, place: await context.place(position) }
  }

  describe('append', () => {
    it('[R41] begins an empty store with its first event', async () => {
      const { store, stream, log, isUsed } = context
      if (!isUsed) expect(await store.head()).toBe(0)
      const first = await store.append(stream('a'), newEvents(1), 'any')
      expect(first).toMatchObject({ revision: 0, position: await store.head() })
      expect((await log()).map(({ position }) => position)).toEqual([await store.head()])
    })

    it('[R41] numbers revisions from 0 and positions on, nothing in between within an append', async () => {
      const { store, stream, log, place } = context
      const [a, b] = [stream('a'), stream('b')]
      const first = await placed(await store.append(a, newEvents(2), 'no-stream'))
      expect(first).toEqual({ outcome: 'appended', revision: 1, place: 2, duplicate: false })
      expect(await placed(await store.append(b, newEvents(3), 'no-stream'))).toMatchObject({ revision: 2, place: 5 })
      expect(await placed(await store.append(a, newEvents(1), 1))).toMatchObject({ revision: 2, place: 6 })
      expect(await place(await store.head())).toBe(6)
      expect((await log()).map((event) => [event.stream, event.revision])).toEqual([
        [a, 0],
        [a, 1],
        [b, 0],
        [b, 1],
        [b, 2],
        [a, 2],
      ])
    })

    it('[R41] takes many appends to many streams in one call, in their order', async () => {
      const { store, stream, start } = context
      const streams = ['a', 'b', 'c', 'd', 'e'].map(stream)
      const appends = Array.from({ length: 200 }, (_, n) => ({
        stream: streams[(n * n) % streams.length] as string,
        events: newEvents((n % 3) + 1),
        expected: 'any' as const,
      }))
      const wanted = appends.flatMap(({ stream, events }) => events.map(({ metadata }) => [stream, metadata.eventId]))
      const results = await store.appendAll(appends)
      expect(results.map((result) => result.outcome)).toEqual(appends.map(() => 'appended'))
      const all = await collect(store.readAll(start))
      expect(all.map((event) => [event.stream, event.metadata.eventId])).toEqual(wanted)
      const positions = results.map((result) => (result.outcome === 'appended' ? result.position : -1))
      expect(positions).toEqual(positions.toSorted((a, b) => a - b))
      // Once more, it changes nothing and answers the same.
      const again = await store.appendAll(appends)
      expect(again).toEqual(results.map((result) => ({ ...result, duplicate: true })))
      expect(await store.head()).toBe(positions.at(-1))
    })

    const expectations: { expected: ExpectedRevision; missing: boolean; there: boolean }[] = [
      { expected: 'any', missing: true, there: true },
      { expected: 'no-stream', missing: true, there: false },
      { expected: 'stream-exists', missing: false, there: true },
      { expected: 0, missing: false, there: false },
      { expected: 1, missing: false, there: true },
      { expected: 2, missing: false, there: false },
    ]
    for (const { expected, missing, there } of expectations) {
      it(`expects ${expected}: of no stream ${missing}, of one at revision 1 ${there}`, async () => {
        const { store, stream, place } = context
        await store.append(stream('there'), newEvents(2), 'any')
        const toMissing = await store.append(stream('missing'), newEvents(1), expected)
        const toThere = await store.append(stream('there'), newEvents(1), expected)
        expect(await placed(toMissing)).toEqual(
          missing
            ? { outcome: 'appended', revision: 0, place: 3, duplicate: false }
            : { outcome: 'wrong-expected-revision', expected, actual: -1 },
        )
        expect(await placed(toThere)).toEqual(
          there
            ? { outcome: 'appended', revision: 2, place: missing ? 4 : 3, duplicate: false }
            : { outcome: 'wrong-expected-revision', expected, actual: 1 },
        )
        expect(await place(await store.head())).toBe(2 + Number(missing) + Number(there))
      })
    }

    it('lets no append suffer from the conflict of another that is made at the same time', async () => {
      const { store, stream, log } = context
      await store.append(stream('old'), newEvents(1), 'no-stream')
      const results = await Promise.all([
        store.append(stream('a'), newEvents(2), 'no-stream'),
        store.append(stream('old'), newEvents(1), 'no-stream'),
        store.append(stream('b'), newEvents(1), 7),
        store.append(stream('c'), newEvents(1), 'any'),
      ])
      expect(results.map(({ outcome }) => outcome)).toEqual([
        'appended',
        'wrong-expected-revision',
        'wrong-expected-revision',
        'appended',
      ])
      const streams = (await log()).map((event) => event.stream)
      expect(streams.sort()).toEqual([stream('a'), stream('a'), stream('c'), stream('old')])
    })

    it('lets exactly one of many writers win a revision, from several instances', async () => {
      const stores = [context.store, context.open(), context.open()]
      const contested = context.stream('contested')
      await context.store.append(contested, newEvents(1), 'no-stream')
      const attempts = Array.from({ length: 30 }, (_, index) => stores[index % 3]?.append(contested, newEvents(1), 0))
      const results = await Promise.all(attempts)
      expect(results.filter((result) => result?.outcome === 'appended')).toHaveLength(1)
      for (const result of results) {
        if (result?.outcome === 'wrong-expected-revision') expect(result.actual).toBe(1)
      }
      expect(await collect(context.store.readStream(contested))).toHaveLength(2)
    })

    it('keeps JSON as it is', async () => {
      const { store, place } = context
      const json = context.stream('json')
      const data = {
        numbers: [0, -1, 1.5, 1e21, Number.MAX_SAFE_INTEGER, 5e-324],
        text: 'ünïcödé 🜁 "quotes" \\ \\u0000 \u001b[0m \n\t',
        nested: { empty: {}, list: [null, true, [[]]], '': 'empty key' },
      }
      const event = newEvent(data)
      await store.append(json, [event, newEvent(null), newEvent('text')], 'any')
      const [first, second, third] = await collect(store.readStream(json))
      expect(first).toMatchObject({ ...event, stream: json, revision: 0 })
      expect(await place(first?.position)).toBe(1)
      expect(second?.data).toBeNull()
      expect(third?.data).toBe('text')
      expect(first?.recordedAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    })

    it('replaces what no database can hold (NUL, lone surrogates) by U+FFFD', async () => {
      const { store, stream } = context
      const data = { output: 'a\0\0b\ud800c\udc00', '\0': '\\\0 \\u0000 \u{1f701}' }
      await store.append(stream('bytes'), [newEvent(data)], 'any')
      const [event] = await collect(store.readStream(stream('bytes')))
      expect(event?.data).toEqual({ output: 'a\ufffd\ufffdb\ufffdc\ufffd', '\ufffd': '\\\ufffd \\u0000 \u{1f701}' })
    })

    it('takes every character that a name and a text may have, alone and among others', async () => {
      const { store, stream } = context
      const name = stream(String.fromCharCode(...Array.from({ length: 94 }, (_, n) => 0x21 + n)))
      const others = [`${name}"`, `${name}\\`, `${name}{NULL}`]
      const text = `\x7f\x80\u2028${String.fromCharCode(...Array.from({ length: 0x500 }, (_, n) => n + 1))}`
      const event = { ...newEvent({ text, [text]: [text] }), type: name.slice(0, 120) }
      await store.append(name, [event], 'any')
      await Promise.all(
        others.map((other) => store.append(other, [event, { ...newEvent(text), type: '"\\' }], 'no-stream')),
      )
      const [alone] = await collect(store.readStream(name))
      expect(alone).toMatchObject({ ...event, stream: name })
      for (const other of others) {
        const [first, second] = await collect(store.readStream(other))
        expect(first).toMatchObject({ ...event, stream: other })
        expect(second).toMatchObject({ data: text, type: '"\\' })
      }
    })

    it('takes large appends and large events', async () => {
      const { store, stream } = context
      const large = 'x'.repeat(3 * 1024 * 1024)
      await Promise.all([
        store.append(stream('many'), newEvents(3_000), 'any'),
        store.append(stream('large'), [newEvent({ large })], 'any'),
      ])
      const revisions = (await collect(store.readStream(stream('many')))).map(({ revision }) => revision)
      expect(revisions).toEqual(Array.from({ length: 3_000 }, (_, index) => index))
      const [event] = await collect(store.readStream(stream('large')))
      expect(event?.data).toEqual({ large })
    })

    const bad: { what: string; name?: string; events?: NewEvent[]; expected?: ExpectedRevision }[] = [
      { what: 'no events', events: [] },
      { what: 'data that JSON cannot express', events: [{ ...newEvent(), data: undefined }] },
      { what: 'data that is a function', events: [newEvent(() => {})] },
      { what: 'a type with a NUL', events: [{ ...newEvent(), type: 'a\0b' }] },
      { what: 'a version that is no whole number', events: [{ ...newEvent(), v: Number.NaN }] },
      { what: 'an event id that is no UUID', events: [newEvent({}, 'not-a-uuid')] },
      { what: 'an empty name', name: '' },
      { what: 'a name with a NUL', name: 'a\0b' },
      { what: 'a name of 201 characters', name: 'a'.repeat(201) },
      { what: 'a negative revision', expected: -2 },
      { what: 'a fractional revision', expected: 0.5 },
      { what: 'more than 10,000 events', events: newEvents(10_001) },
      { what: 'more than 16 MiB', events: [newEvent('x'.repeat(17 * 1024 * 1024))] },
    ]
    for (const { what, name = 'good-name', events = newEvents(1), expected = 'any' } of bad) {
      it(`refuses ${what}, and harms no neighbour`, async () => {
        const { store, stream, place } = context
        const neighbour = store.append(stream('neighbour'), newEvents(1), 'any')
        await expect(store.append(name, events, expected)).rejects.toThrow(TypeError)
        expect(await neighbour).toMatchObject({ outcome: 'appended' })
        expect(await place(await store.head())).toBe(1)
      })
    }
  })

  describe('a store', () => {
    it('has an id that stays', async () => {
      const id = await context.store.storeId()
      expect(id).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
      expect(await context.open().storeId()).toBe(id)
    })

    it('finishes on close what was appended before it, and takes nothing after it', async () => {
      const { stream, log } = context
      const closing = context.open()
      const underWay = Array.from({ length: 50 }, (_, n) => closing.append(stream(`${n}`), newEvents(1), 'any'))
      const closed = closing.close()
      expect((await Promise.all(underWay)).map(({ outcome }) => outcome)).toEqual(Array(50).fill('appended'))
      await closed
      await closing.close()
      await expect(closing.append(stream('s'), newEvents(1), 'any')).rejects.toThrow(StoreUnavailable)
      await expect(closing.head()).rejects.toThrow(StoreUnavailable)
      await expect(collect(closing.readAll(0))).rejects.toThrow(StoreUnavailable)
      await expect(collect(closing.readStream(stream('0')))).rejects.toThrow(StoreUnavailable)
      expect(await log()).toHaveLength(50)
    })
  })
}
