import { randomUUID } from 'node:crypto'
import { describe, expect, it, type TestContext, vi } from 'vitest'
import { createKurrentEventStore } from '../../../src/event-store/kurrentdb.ts'
import { collect, follow } from '../../support/collect.ts'
import { type FakeKurrentDbOptions, startFakeKurrentDb } from '../../support/kurrentdb/fake-server.ts'
import { newEvent, newEvents } from '../../support/new-event.ts'

/** A server and what uses it, for one test. */
async function begin(t: TestContext, options?: FakeKurrentDbOptions) {
  const server = await startFakeKurrentDb(options)
  t.onTestFinished(() => server.stop())
  const open = () => {
    const store = createKurrentEventStore(server.connectionString())
    t.onTestFinished(() => store.close())
    return store
  }
  return { server, open }
}

const range = (count: number) => Array.from({ length: count }, (_, index) => index)

/** What another application writes to the same server. */
const foreign = (metadata: string) => ({
  id: randomUUID(),
  type: 'OrderPlaced',
  isJson: true,
  data: Buffer.from('{"order":1}'),
  metadata: Buffer.from(metadata),
})

describe.concurrent('event store in KurrentDB', () => {
  for (const { version, callsMax } of [
    { version: '24.10.0', callsMax: 200 },
    { version: '25.1.0', callsMax: 45 },
    { version: '26.1.0', callsMax: 30 },
  ] as const) {
    it(`[R41] ${version}: appends of many runs at once, each with its own outcome and place`, async (t) => {
      const { server, open } = await begin(t, { version })
      const [store, other] = [open(), open()]
      const streams = range(100).map((n) => `run-${n}`)
      await Promise.all(streams.slice(0, 40).map((stream) => store.append(stream, newEvents(1), 'no-stream')))
      // Of these the first store knows an old state.
      await Promise.all(streams.slice(0, 5).map((stream) => other.append(stream, newEvents(1), 0)))

      const commit = vi.spyOn(server.log, 'commit')
      const results = await Promise.all(
        streams.map((stream, n) => store.append(stream, newEvents(1 + (n % 3)), n < 3 ? 0 : 'any')),
      )
      expect(commit.mock.calls.length).toBeLessThanOrEqual(callsMax)
      const log = await collect(store.readAll(0))
      for (const [n, result] of results.entries()) {
        if (n < 3) {
          expect(result).toEqual({ outcome: 'wrong-expected-revision', expected: 0, actual: 1 })
          continue
        }
        const last = log.findLast(({ stream }) => stream === `run-${n}`)
        const { revision, position } = last ?? {}
        expect(result).toEqual({ outcome: 'appended', revision, position, duplicate: false })
      }
    })
  }

  it("[R41] passes over what is the server's own or another application's, and still says how far it has come", async (t) => {
    const { server, open } = await begin(t)
    const store = open()
    const noise = (stream: string, metadata = '{}') =>
      server.log.commit({ streams: [{ stream, expected: 'any' }], events: [{ ...foreign(metadata), streamIndex: 0 }] })
    await store.append('run-1', newEvents(2), 'no-stream')
    for (const stream of ['$stats-127.0.0.1', 'orders-1', 'run-1']) noise(stream)
    noise('orders-2', 'not JSON')
    noise('orders-2', '{"v":"1","metadata":"{"}')
    const subscription = follow(store)
    const head = await store.head()
    await subscription.until(() => subscription.batches.at(-1)?.position === head)
    // The other application has written to our stream: the next one is appended behind that.
    expect(await store.append('run-1', newEvents(1), 'any')).toMatchObject({ revision: 3 })
    await subscription.until(() => subscription.events.length === 3)
    await subscription.stop()
    const log = await collect(store.readAll(0))
    expect(log.map(({ stream, revision }) => [stream, revision])).toEqual([
      ['run-1', 0],
      ['run-1', 1],
      ['run-1', 3],
    ])
    expect(subscription.events).toEqual(log)
    expect(await collect(store.readStream('run-1'))).toEqual(log)
    await expect(store.append('$ours', newEvents(1), 'any')).rejects.toThrow(TypeError)
  })

  it('[R41] a position that a filter passed over to is one to go on from, and never beyond the last event', async (t) => {
    const { open } = await begin(t)
    const store = open()
    const filter = { streamPrefixes: ['run-'] }
    let after = 0
    for (const round of range(4)) {
      // The server tells of a checkpoint where the next event will be.
      await store.append('telemetry-1', newEvents(round === 3 ? 1 : 1_000), 'any')
      const head = await store.head()
      const quiet = follow(open(), { after, filter })
      await quiet.until(() => quiet.batches.at(-1)?.position === head)
      await quiet.stop()
      expect(quiet.events).toEqual([])
      expect(Math.max(...quiet.batches.map(({ position }) => position))).toBe(head)

      await store.append('run-1', newEvents(1), 'any')
      for (const { position } of quiet.batches) {
        const resumed = follow(store, { after: position, filter })
        await resumed.until(() => resumed.events.length === 1)
        await resumed.stop()
        expect(resumed.events[0]).toMatchObject({ stream: 'run-1', revision: round })
      }
      after = await store.head()
    }
  })

  it('[R14] knows an event again in a stream that another process has written, long ago', async (t) => {
    const { server, open } = await begin(t)
    const event = newEvent()
    const first = await open().append('run-1', [event], 'no-stream')
    await open().append('run-1', newEvents(1_500), 'any')
    // What the server remembers by itself is gone.
    await server.stop()
    await server.start()
    const store = open()
    expect(await store.append('run-1', [event], 'any')).toEqual({ ...first, duplicate: true })
    expect(await store.append('run-1', [event], 1_500)).toEqual({ ...first, duplicate: true })
  })

  it('[R14] knows the whole of an append that another process has made in parts that this one has seen one of', async (t) => {
    const { open } = await begin(t)
    const [store, other] = [open(), open()]
    const [first, second] = [newEvent(), newEvent()]
    await store.append('run-1', [first], 'no-stream')
    const last = await other.append('run-1', [second], 0)
    expect(await store.append('run-1', [first, second], 'any')).toEqual({ ...last, duplicate: true })
    await expect(store.append('run-1', [second, newEvent()], 'any')).rejects.toThrow(/some are not/)
  })
})
