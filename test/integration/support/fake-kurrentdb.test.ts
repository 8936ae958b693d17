import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type AllStreamResolvedEvent,
  type AppendStreamState,
  BACKWARDS,
  END,
  jsonEvent,
  KurrentDBClient,
  type Position,
  type ResolvedEvent,
  START,
  streamNameFilter,
} from '@kurrent/kurrentdb-client'
import { describe, expect, it, type TestContext } from 'vitest'
import { collect } from '../../support/collect.ts'
import { makeCertificates } from '../../support/kurrentdb/certificates.ts'
import { type FakeKurrentDbOptions, startFakeKurrentDb } from '../../support/kurrentdb/fake-server.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

/** A server of its own for a test, gone after it. */
async function start(t: TestContext, options: FakeKurrentDbOptions = {}) {
  const fake = await startFakeKurrentDb(options)
  t.onTestFinished(() => fake.stop())
  return fake
}

function connect(t: TestContext, connectionString: string): KurrentDBClient {
  const client = KurrentDBClient.connectionString(connectionString)
  t.onTestFinished(() => client.dispose())
  return client
}

async function startAndConnect(t: TestContext, options: FakeKurrentDbOptions = {}) {
  const fake = await start(t, options)
  return { fake, client: connect(t, fake.connectionString()) }
}

const event = (type: string, id: string = randomUUID()) =>
  jsonEvent({ type, id, data: { type }, metadata: { by: 'test' } })

async function typesOf(events: AsyncIterable<ResolvedEvent | AllStreamResolvedEvent>): Promise<string[]> {
  const types: string[] = []
  for await (const { event } of events) types.push(event?.type ?? '')
  return types
}

const typeOf = (error: unknown) => (error as { type?: string }).type

// At once, because a new client's first read waits for half a second.
describe.concurrent('[R41] the fake KurrentDB server, asked with the official client', () => {
  it('appends what is expected, and refuses with the actual revision', async (t) => {
    const { client } = await startAndConnect(t)
    const append = (streamState: AppendStreamState, ...types: string[]) =>
      client
        .appendToStream(
          's',
          types.map((type) => event(type)),
          { streamState },
        )
        .then(
          ({ nextExpectedRevision }) => nextExpectedRevision,
          (error) => error.actualState,
        )
    expect(await append('stream_exists', 'X')).toBe('no_stream')
    expect(await append(0n, 'X')).toBe('no_stream')
    expect(await append('no_stream', 'A', 'B')).toBe(1n)
    expect(await append('no_stream', 'X')).toBe(1n)
    expect(await append(5n, 'X')).toBe(1n)
    expect(await append(1n, 'C')).toBe(2n)
    expect(await append('any', 'D')).toBe(3n)
    expect(await append('stream_exists', 'E')).toBe(4n)
    expect(await typesOf(client.readStream('s'))).toEqual(['A', 'B', 'C', 'D', 'E'])
  })

  it('knows repeated events by their revisions, and without one only as long as it remembers them', async (t) => {
    const { fake, client } = await startAndConnect(t)
    const [first, second] = [event('A'), event('B')]
    const append = (streamState: AppendStreamState, ...events: ReturnType<typeof event>[]) =>
      client.appendToStream('s', events, { streamState }).then(
        ({ nextExpectedRevision }) => nextExpectedRevision,
        (error) => error.type,
      )
    expect(await append('no_stream', first, second)).toBe(1n)
    expect(await append('no_stream', first, second)).toBe(1n)
    expect(await append('any', first)).toBe(0n)
    expect(await append('any', first, event('X'))).toBe('wrong-expected-version')
    expect(await append(0n, second, event('X'))).toBe('wrong-expected-version')
    expect(await append(0n, second)).toBe(1n)
    expect(await append(1n, second), 'at the end it looks at no id').toBe(2n)
    await fake.stop()
    await fake.start()
    const again = connect(t, fake.connectionString())
    await again.appendToStream('s', [first, second], { streamState: 'no_stream' })
    await again.appendToStream('s', first, { streamState: 'any' })
    expect(await typesOf(again.readStream('s'))).toEqual(['A', 'B', 'B', 'A'])
  })

  it('appends to several streams at once: all or nothing', async (t) => {
    const { client } = await startAndConnect(t)
    const requests = [
      { streamName: 's', expectedState: 'no_stream' as const, events: [event('A')] },
      { streamName: 't', expectedState: 'any' as const, events: [event('B'), event('C')] },
    ]
    const { responses } = await client.multiStreamAppend(requests)
    expect(responses).toEqual([
      { streamName: 's', revision: 0n },
      { streamName: 't', revision: 1n },
    ])
    expect((await client.multiStreamAppend(requests)).responses).toEqual(responses)
    const conflict = [
      { ...requests[0], expectedState: 4n },
      { ...requests[1], events: [event('X')] },
    ] as typeof requests
    const refused = await client.multiStreamAppend(conflict).catch((error) => error)
    expect(refused).toMatchObject({
      type: 'wrong-expected-version',
      streamName: 's',
      expectedState: 4n,
      actualState: 0n,
    })
    const mixture = [requests[0], { ...requests[1], events: [event('X')] }] as typeof requests
    expect(typeOf(await client.multiStreamAppend(mixture).catch((error) => error))).toBe('unavailable')
    expect(await typesOf(client.readStream('t'))).toEqual(['B', 'C'])
  })

  it('appends records in their own order, with checks of any stream', async (t) => {
    const { client } = await startAndConnect(t)
    const record = (streamName: string, type: string) => ({ streamName, record: event(type) })
    const check = (streamName: string, expectedState: AppendStreamState) =>
      ({ type: 'stream_state', streamName, expectedState }) as const
    const { responses } = await client.appendRecords(
      [record('s', 'A'), record('t', 'B'), record('s', 'C')],
      [check('s', 'no_stream'), check('u', 'no_stream')],
    )
    expect(responses).toEqual([
      { streamName: 's', revision: 1n },
      { streamName: 't', revision: 0n },
    ])
    const refused = await client.appendRecords([record('t', 'X')], [check('u', 'any'), check('s', 7n)]).catch((e) => e)
    expect(refused).toMatchObject({
      type: 'append-consistency-violation',
      violations: [{ checkIndex: 1, streamName: 's', expectedState: 7n, actualState: 1n }],
    })
    const all = client.readAll({ filter: streamNameFilter({ prefixes: ['s', 't'] }) })
    expect(await typesOf(all)).toEqual(['A', 'B', 'C'])
  })

  it('refuses an append that is too large in all', async (t) => {
    const { client } = await startAndConnect(t, { maxAppendBytes: 1_000 })
    const large = jsonEvent({ type: 'A', data: 'x'.repeat(1_000), metadata: {} })
    const batch = await client.appendToStream('s', large).catch((error) => error)
    expect(batch).toMatchObject({ type: 'maximum-append-size-exceeded', maxAppendSize: 1_000 })
    const session = client.multiStreamAppend([{ streamName: 's', expectedState: 'any', events: [large] }])
    expect(typeOf(await session.catch((error) => error))).toBe('transaction-max-size-exceeded')
  })

  it('reads streams and all, both ways, from positions that are offsets of a log', async (t) => {
    const { client } = await startAndConnect(t)
    for (const type of ['A', 'B', 'C']) await client.appendToStream('s', event(type))
    expect(await typesOf(client.readStream('s', { fromRevision: 1n }))).toEqual(['B', 'C'])
    expect(await typesOf(client.readStream('s', { fromRevision: 1n, direction: BACKWARDS }))).toEqual(['B', 'A'])
    expect(await typesOf(client.readStream('s', { fromRevision: END, direction: BACKWARDS, maxCount: 1 }))).toEqual([
      'C',
    ])
    expect(typeOf(await typesOf(client.readStream('none')).catch((error) => error))).toBe('stream-not-found')

    const filter = streamNameFilter({ prefixes: ['s'] })
    const positions: Position[] = []
    for await (const { event } of client.readAll({ filter })) positions.push(event?.position as Position)
    const [a, b, c] = positions as [Position, Position, Position]
    expect(a.commit, 'others have written before').toBeGreaterThan(0n)
    expect(b.commit - a.commit).toBeGreaterThan(1n)
    expect(c.prepare).toBe(c.commit)
    expect(await typesOf(client.readAll({ fromPosition: b }))).toEqual(['B', 'C'])
    expect(await typesOf(client.readAll({ fromPosition: b, direction: BACKWARDS, maxCount: 1 }))).toEqual(['A'])
    expect(await typesOf(client.readAll({ fromPosition: END, direction: BACKWARDS, maxCount: 1 }))).toEqual(['C'])
    const between = { commit: a.commit + 1n, prepare: a.commit + 1n }
    await expect(typesOf(client.readAll({ fromPosition: between }))).rejects.toThrow('invalid position')
  })

  it("keeps to a stream's limits: at once for its readers, for all after a scavenge", async (t) => {
    const { fake, client } = await startAndConnect(t)
    for (const type of ['A', 'B', 'C']) await client.appendToStream('s', event(type))
    await client.setStreamMetadata('s', { maxCount: 2 })
    expect(await typesOf(client.readStream('s'))).toEqual(['B', 'C'])
    const all = () => typesOf(client.readAll({ filter: streamNameFilter({ prefixes: ['s', '$$s'] }) }))
    expect(await all()).toEqual(['A', 'B', 'C', '$metadata'])
    fake.log.scavenge()
    expect(await all()).toEqual(['B', 'C', '$metadata'])
    const { nextExpectedRevision } = await client.appendToStream('s', event('D'), { streamState: 2n })
    expect(nextExpectedRevision).toBe(3n)
    expect((await client.getStreamMetadata('s')).metadata).toEqual({ maxCount: 2 })
    await client.setStreamMetadata('s', { truncateBefore: 3 })
    expect(await typesOf(client.readStream('s'))).toEqual(['D'])
    await client.setStreamMetadata('s', { maxAge: 0 })
    expect(await typesOf(client.readStream('s'))).toEqual([])
  })

  it('subscribes after a position, tells how far it is, and goes on with what is new', async (t) => {
    const { client } = await startAndConnect(t)
    for (const type of ['A', 'B']) await client.appendToStream('s', event(type))
    for (let n = 0; n < 5; n += 1) await client.appendToStream('other', event('X'))
    const [first] = await collect(client.readAll({ filter: streamNameFilter({ prefixes: ['s'] }) }))

    const told: (string | Position)[] = []
    const filter = streamNameFilter({
      prefixes: ['s'],
      maxSearchWindow: 2,
      checkpointReached: async (_subscription, position) => void told.push(position),
    })
    const subscription = client.subscribeToAll({ fromPosition: first?.event?.position as Position, filter })
    const caughtUp = new Promise<void>((resolve) => {
      subscription.on('caughtUp', () => resolve(void told.push('caught up')))
    })
    void caughtUp.then(() => client.appendToStream('s', event('C')))
    for await (const { event } of subscription) {
      told.push(event?.type ?? '')
      if (event?.type === 'C') break
    }
    expect(told.filter((item) => typeof item === 'string')).toEqual(['B', 'caught up', 'C'])

    const checkpoint = told.findLast((item) => typeof item !== 'string') as Position
    expect(checkpoint.prepare, 'the place before the next page').toBe(0n)
    const rest = client.subscribeToAll({
      fromPosition: checkpoint,
      filter: streamNameFilter({ prefixes: ['other', 's'] }),
    })
    for await (const { event } of rest) {
      expect(event?.position?.commit, 'what begins at the checkpoint comes').toBe(checkpoint.commit)
      break
    }
  })

  it('subscribes from the end, and from the beginning of an empty database', async (t) => {
    const { client } = await startAndConnect(t)
    await client.appendToStream('s', event('A'))
    const live = client.subscribeToAll({ fromPosition: END })
    await new Promise((resolve) => live.once('caughtUp', resolve))
    await client.appendToStream('s', event('B'))
    for await (const { event } of live) {
      expect(event?.type).toBe('B')
      break
    }
    const whole = client.subscribeToAll({ fromPosition: START })
    for await (const { event } of whole) {
      expect(event?.streamId, 'written by the server itself').toBe('$users')
      break
    }
  })

  it('asks who it is over TLS', async (t) => {
    const certificates = makeCertificates()
    const directory = makeTemporaryDirectory()
    t.onTestFinished(() => directory.remove())
    const file = join(directory.path, 'ca.pem')
    writeFileSync(file, certificates.authority)
    const fake = await start(t, { certificates, users: { admin: 'changeit' } })
    const query = `tlsCAFile=${encodeURIComponent(file)}`
    const as = (credentials?: string) =>
      connect(t, fake.connectionString({ query, ...(credentials && { credentials }) }))

    const known = as('admin:changeit')
    await known.appendToStream('s', event('A'))
    expect(await typesOf(known.readStream('s'))).toEqual(['A'])
    for (const who of ['admin:wrong', undefined]) {
      const stranger = as(who)
      expect(typeOf(await stranger.appendToStream('s', event('X')).catch((error) => error))).toBe('access-denied')
      expect(typeOf(await typesOf(stranger.readStream('s')).catch((error) => error))).toBe('access-denied')
    }
    const distrustful = connect(t, fake.connectionString({ credentials: 'admin:changeit' }))
    await expect(distrustful.appendToStream('s', event('X'))).rejects.toThrow('certificate')
  })

  it('is found by gossip; a follower shows the way to its leader', async (t) => {
    const leader = await start(t)
    const follower = await start(t, { log: leader.log })
    follower.faults.leader = leader.endpoint
    const discovering = connect(t, follower.connectionString({ discover: true }))
    await discovering.appendToStream('s', event('A'), { requiresLeader: true })

    const client = connect(t, follower.connectionString())
    const append = () => client.appendToStream('s', event('B'), { requiresLeader: true })
    expect(await append().catch((error) => error)).toMatchObject({
      type: 'not-leader',
      leader: { address: '127.0.0.1', port: leader.endpoint.port },
    })
    expect((await append()).nextExpectedRevision, 'by now the client asks the leader').toBe(1n)
    const session = connect(t, follower.connectionString()).multiStreamAppend([])
    await expect(session).rejects.toThrow('not the leader')
  })
})

describe.concurrent('[R41] its faults', () => {
  it('an append is cut off before, or after it is written', async (t) => {
    const { fake, client } = await startAndConnect(t)
    for (const [moment, type] of [
      ['before-commit', 'A'],
      ['after-commit', 'B'],
    ] as const) {
      fake.faults.strikeAppend(moment, fake.cut)
      expect(typeOf(await client.appendToStream('s', event(type)).catch((error) => error))).toBe('unavailable')
    }
    fake.faults.strikeAppend('before-commit', fake.cut, 1)
    await client.appendToStream('s', event('C'))
    await expect(client.appendToStream('s', event('D'))).rejects.toThrow()
    expect(await typesOf(client.readStream('s'))).toEqual(['B', 'C'])
  })

  it('is away, and back on the same port with everything that was written', async (t) => {
    const { fake, client } = await startAndConnect(t)
    await client.appendToStream('s', event('A'))
    await fake.stop()
    expect(typeOf(await client.appendToStream('s', event('X')).catch((error) => error))).toBe('unavailable')
    await fake.start()
    expect(await typesOf(client.readStream('s'))).toEqual(['A'])
    await client.appendToStream('s', event('B'))
    expect(await typesOf(client.readStream('s'))).toEqual(['A', 'B'])
  })

  it('is slow, silent, or full', async (t) => {
    const { fake, client } = await startAndConnect(t)
    await client.appendToStream('s', event('A'))
    fake.faults.delayMs = 50
    await client.appendToStream('s', event('B'))
    fake.faults.delayMs = 0
    fake.faults.isFull = true
    expect(typeOf(await client.appendToStream('s', event('X')).catch((error) => error))).toBe('deadline-exceeded')
    const session = client.multiStreamAppend([{ streamName: 's', expectedState: 'any', events: [event('X')] }])
    expect(typeOf(await session.catch((error) => error))).toBe('deadline-exceeded')
    fake.faults.isFull = false

    const patient = connect(t, fake.connectionString({ query: 'defaultDeadline=100' }))
    const append = () => patient.multiStreamAppend([{ streamName: 't', expectedState: 'any', events: [event('A')] }])
    await append()
    fake.faults.isSilent = true
    expect(typeOf(await append().catch((error) => error))).toBe('deadline-exceeded')
    fake.faults.isSilent = false
    expect(await typesOf(client.readStream('s'))).toEqual(['A', 'B'])
  })
})
