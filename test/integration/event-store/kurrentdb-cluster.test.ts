import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, type TestContext } from 'vitest'
import { StoreAccessDenied, StoreUnavailable } from '../../../src/event-store/event-store.ts'
import { createKurrentEventStore } from '../../../src/event-store/kurrentdb.ts'
import { collect, follow } from '../../support/collect.ts'
import { makeCertificates } from '../../support/kurrentdb/certificates.ts'
import { type FakeKurrentDbOptions, startFakeKurrentDb } from '../../support/kurrentdb/fake-server.ts'
import { newEvents } from '../../support/new-event.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'
import { waitUntil } from '../../support/wait-until.ts'

async function startServer(t: TestContext, options: FakeKurrentDbOptions = {}) {
  const server = await startFakeKurrentDb(options)
  t.onTestFinished(() => server.stop())
  return server
}

/** Two nodes of one cluster: the second one follows the first. */
async function startCluster(t: TestContext) {
  const first = await startServer(t)
  const second = await startServer(t, { log: first.log })
  second.faults.leader = first.endpoint
  return { first, second }
}

function open(t: TestContext, url: string) {
  const store = createKurrentEventStore(url)
  t.onTestFinished(() => store.close())
  return store
}

// At once, because a new connection's first read waits for half a second.
describe.concurrent('event store in KurrentDB', () => {
  it('[R41] finds the leader from a follower, with and without discovery', async (t) => {
    const { second } = await startCluster(t)
    const stores = [open(t, second.connectionString()), open(t, second.connectionString({ discover: true }))]
    for (const [index, store] of stores.entries()) {
      expect(await store.append(`s-${index}`, newEvents(2), 'no-stream')).toMatchObject({ outcome: 'appended' })
      expect(await collect(store.readStream(`s-${index}`))).toHaveLength(2)
      const live = follow(store)
      await live.until(() => live.events.length >= 2)
      await live.stop()
    }
  })

  it('[R41] goes on with the new leader: appends, reads and subscriptions', async (t) => {
    const { first, second } = await startCluster(t)
    const store = open(t, second.connectionString({ discover: true }))
    await store.append('s', newEvents(1), 'no-stream')
    const live = follow(store)
    await live.until(() => live.events.length === 1)
    second.faults.leader = undefined
    first.faults.leader = second.endpoint
    const appended = await waitUntil(
      () => store.append('s', newEvents(1), 0).catch((error) => expect(error).toBeInstanceOf(StoreUnavailable)),
      'an append to the new leader',
    ).catch((error: Error) => error)
    expect(appended).toMatchObject({ outcome: 'appended', revision: 1 })
    expect(await collect(store.readStream('s'))).toHaveLength(2)
    await first.stop()
    await waitUntil(() => store.append('s', newEvents(1), 1).catch(() => undefined), 'an append without the old leader')
    await live.until(() => live.events.length >= 3)
    expect(live.events.map(({ revision }) => revision)).toEqual([0, 1, 2])
    await live.stop()
  })

  it('[R41] speaks TLS with a certificate authority of its own, and sends its credentials', async (t) => {
    const certificates = makeCertificates()
    const directory = makeTemporaryDirectory()
    t.onTestFinished(() => directory.remove())
    const file = join(directory.path, 'ca.pem')
    writeFileSync(file, certificates.authority)
    const server = await startServer(t, { certificates, users: { 'run@warden': 's:e/c' } })
    const query = `tlsCAFile=${encodeURIComponent(file)}`
    const credentials = 'run%40warden:s%3Ae%2Fc'

    const store = open(t, server.connectionString({ credentials, query }))
    const live = follow(store)
    await store.append('s', newEvents(1), 'no-stream')
    await live.until(() => live.events.length === 1)
    expect(await collect(store.readAll(0))).toEqual(live.events)
    await live.stop()

    for (const wrong of ['run%40warden:other', undefined]) {
      const stranger = open(t, server.connectionString({ query, ...(wrong && { credentials: wrong }) }))
      await Promise.all([
        expect(stranger.append('s', newEvents(1), 'any')).rejects.toThrow(StoreAccessDenied),
        expect(stranger.head()).rejects.toThrow(StoreAccessDenied),
        expect(collect(stranger.readAll(0)), 'as if it were away').rejects.toThrow(StoreUnavailable),
      ])
      const waiting = follow(stranger)
      await waiting.stop()
      expect(waiting.events).toEqual([])
    }
    const distrustful = open(t, server.connectionString({ credentials }))
    const refused = await distrustful.append('s', newEvents(1), 'no-stream').catch((error) => error)
    expect(refused).toBeInstanceOf(StoreUnavailable)
    expect(refused.message).toContain('unable to verify the first certificate (EVENT_STORE_URL names')
    expect(refused.message).not.toContain('s:e')
  })
})
