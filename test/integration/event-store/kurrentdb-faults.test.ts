import { describe, expect, it, type TestContext } from 'vitest'
import type { NewEvent } from '../../../src/domain/event.ts'
import { type EventStore, type ExpectedRevision, StoreUnavailable } from '../../../src/event-store/event-store.ts'
import { createKurrentEventStore } from '../../../src/event-store/kurrentdb.ts'
import { collect, follow } from '../../support/collect.ts'
import { startFakeKurrentDb } from '../../support/kurrentdb/fake-server.ts'
import { newEvent, newEvents } from '../../support/new-event.ts'
import { waitUntil } from '../../support/wait-until.ts'

/** A server and what uses it, for one test. */
async function begin(t: TestContext) {
  const server = await startFakeKurrentDb()
  t.onTestFinished(() => server.stop())
  return {
    server,
    open(query?: string): EventStore {
      const store = createKurrentEventStore(server.connectionString(query === undefined ? {} : { query }))
      t.onTestFinished(() => store.close())
      return store
    },
    async restart(): Promise<void> {
      await server.stop()
      await server.start()
    },
  }
}

const idOf = ({ metadata }: NewEvent) => metadata.eventId

const idsIn = async (store: EventStore, stream: string) => (await collect(store.readStream(stream))).map(idOf)

/** As a caller does it that must know: the same append again, until the store has decided. */
const appendAtLast = (store: EventStore, stream: string, events: NewEvent[], expected: ExpectedRevision) =>
  waitUntil(
    () =>
      store.append(stream, events, expected).catch((error) => {
        if (error instanceof StoreUnavailable) return undefined
        throw error
      }),
    `an append to ${stream}`,
  )

// At once, because most of the time they wait.
describe.concurrent('event store in KurrentDB, when things go wrong', () => {
  for (const moment of ['before-commit', 'after-commit'] as const) {
    for (const blow of ['cut', 'restart'] as const) {
      it(`[R41] a server that ${blow === 'cut' ? 'is cut off' : 'restarts'} ${moment} of an append: it is there once`, async (t) => {
        const { server, open, restart } = await begin(t)
        const store = open()
        await store.append('s', newEvents(1), 'no-stream')
        for (const expected of ['any', 'stream-exists', 'exact', 'no-stream'] as const) {
          const stream = expected === 'no-stream' ? 't' : 's'
          const before = await idsIn(store, stream)
          const events = newEvents(2)
          server.faults.strikeAppend(moment, blow === 'cut' ? server.cut : () => void restart())
          const revision = expected === 'exact' ? before.length - 1 : expected
          const result = await appendAtLast(store, stream, events, revision)
          expect(result, expected).toMatchObject({ outcome: 'appended', revision: before.length + 1 })
          expect(await idsIn(store, stream), expected).toEqual([...before, ...events.map(idOf)])
        }
      })
    }
  }

  it('[R41] somebody else comes first while the answer is lost: a conflict, and nothing twice', async (t) => {
    const { server, open } = await begin(t)
    const [store, other] = [open(), open()]
    await store.append('s', newEvents(1), 'no-stream')
    const theirs = newEvent()
    server.faults.strikeAppend('before-commit', () => {
      server.cut()
      void appendAtLast(other, 's', [theirs], 'any')
    })
    // The cut reaches the other one, too: it is first all the same, or second.
    const result = await appendAtLast(store, 's', [newEvent()], 0)
    await waitUntil(async () => (await idsIn(store, 's')).includes(idOf(theirs)), 'the other append')
    expect(await idsIn(store, 's')).toHaveLength(result?.outcome === 'appended' ? 3 : 2)
  })

  it('[R41] many appends under way when the connection breaks: each acknowledged one is there once, in order', async (t) => {
    const { server, open, restart } = await begin(t)
    const store = open()
    const live = follow(store)
    const acknowledged = new Map<string, number>()
    let done = false
    const breaking = (async () => {
      for (let round = 0; !done; round += 1) {
        server.faults.strikeAppend(round % 2 === 0 ? 'after-commit' : 'before-commit', server.cut, 7)
        await waitUntil(() => done || round * 20 < acknowledged.size, 'appends to go on', 30_000)
        if (round === 2) await restart()
      }
    })()
    await Promise.all(
      Array.from({ length: 12 }, async (_, caller) => {
        for (let n = 0; n < 10; n += 1) {
          const event = newEvent({ caller, n })
          const result = await appendAtLast(store, `s-${caller}`, [event], 'any')
          if (result.outcome === 'appended') acknowledged.set(idOf(event), result.position)
        }
      }),
    )
    done = true
    await breaking
    expect(acknowledged.size).toBe(120)
    await live.until(() => live.events.length >= 120)
    const all = await collect(store.readAll(0))
    expect(new Map(all.map((event) => [idOf(event), event.position]))).toEqual(acknowledged)
    expect(live.events.map(idOf)).toEqual(all.map(idOf))
    expect(all).toHaveLength(120)
    await live.stop()
  })

  it('[R14] away: every call says so; subscriptions wait, and miss and repeat nothing', async (t) => {
    const { server, open } = await begin(t)
    const store = open()
    await store.append('s', newEvents(3), 'any')
    const [first] = await collect(store.readAll(0))
    const live = follow(store)
    await live.until(() => live.events.length === 3)

    await server.stop()
    const begunMeanwhile = follow(open(), { after: first?.position ?? 0 })
    await Promise.all([
      expect(store.append('s', newEvents(1), 'any')).rejects.toThrow(StoreUnavailable),
      expect(store.append('new', newEvents(1), 'no-stream')).rejects.toThrow(StoreUnavailable),
      expect(store.head()).rejects.toThrow(StoreUnavailable),
      expect(collect(store.readAll(0))).rejects.toThrow(StoreUnavailable),
      expect(collect(store.readStream('s'))).rejects.toThrow(StoreUnavailable),
    ])
    const given = follow(store, { after: 'end' })
    await given.stop()
    const refused = `: connect ECONNREFUSED 127.0.0.1:${server.endpoint.port}`
    await expect(open().head(), 'in plain words').rejects.toThrow(new RegExp(`${refused}$`))

    await server.start()
    await appendAtLast(store, 's', newEvents(2), 2)
    await live.until(() => live.events.length >= 5)
    await begunMeanwhile.until(() => begunMeanwhile.events.length >= 4)
    const positions = (await collect(store.readAll(0))).map(({ position }) => position)
    expect(live.events.map(({ position }) => position)).toEqual(positions)
    expect(begunMeanwhile.events.map(({ position }) => position)).toEqual(positions.slice(1))
    await Promise.all([live.stop(), begunMeanwhile.stop()])
  })

  it('[R41] slow: late answers are answers; what was written after its caller had given up is found again', async (t) => {
    const { server, open } = await begin(t)
    const store = open('defaultDeadline=300')
    await store.append('s', newEvents(1), 'no-stream')
    server.faults.delayMs = 100
    const event = newEvent()
    expect(await store.append('s', [event], 0)).toMatchObject({ outcome: 'appended', revision: 1, duplicate: false })

    server.faults.delayMs = 1_000
    const late = newEvent()
    await expect(store.append('s', [late], 'any')).rejects.toThrow(StoreUnavailable)
    server.faults.delayMs = 0
    await waitUntil(async () => server.log.lastRevision('s') === 2, 'the late write')
    expect(await appendAtLast(store, 's', [late], 'any')).toMatchObject({ revision: 2, duplicate: true })
    expect(await idsIn(store, 's')).toHaveLength(3)
  })

  it('[R41] silent: every call gives up in time, and the next one works once it answers again', async (t) => {
    const { server, open } = await begin(t)
    const store = open('defaultDeadline=300')
    await store.append('s', newEvents(1), 'no-stream')
    const live = follow(store)
    await live.until(() => live.events.length === 1)
    server.faults.isSilent = true
    const late = follow(store)
    await Promise.all([
      expect(store.append('s', newEvents(1), 0)).rejects.toThrow(StoreUnavailable),
      expect(store.head()).rejects.toThrow(StoreUnavailable),
      expect(collect(store.readStream('s'))).rejects.toThrow(StoreUnavailable),
      expect(open('defaultDeadline=300').append('s', newEvents(1), 0)).rejects.toThrow(StoreUnavailable),
    ])
    server.faults.isSilent = false
    await appendAtLast(store, 's', newEvents(1), 0)
    await live.until(() => live.events.length >= 2)
    await late.until(() => late.events.length >= 2)
    await Promise.all([live.stop(), late.stop()])
    expect(live.events).toHaveLength(2)
  })

  it('[R41] full: nothing is acknowledged and nothing lost; it goes on once there is room', async (t) => {
    const { server, open } = await begin(t)
    const store = open()
    await store.append('s', newEvents(1), 'no-stream')
    server.faults.isFull = true
    await expect(store.append('s', newEvents(1), 0)).rejects.toThrow(StoreUnavailable)
    expect(await idsIn(store, 's')).toHaveLength(1)
    server.faults.isFull = false
    expect(await store.append('s', newEvents(1), 0)).toMatchObject({ revision: 1, duplicate: false })
  })
})
