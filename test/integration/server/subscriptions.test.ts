import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { schema } from '../../../schema/schema.ts'
import { InvalidCursor } from '../../../src/control/queries/page.ts'
import { StoreUnavailable } from '../../../src/event-store/event-store.ts'
import { startApiServer, testToken } from '../../support/api-server.ts'
import { eventStream } from '../../support/event-stream.ts'
import { entryOf, type FakeSource, killedRun, liveRun, liveRunEvents } from '../../support/fake-control.ts'
import { subscribe } from '../../support/graphql-client.ts'
import { operationsOf } from '../../support/root-fields.ts'
import { runId } from '../../support/run-events.ts'
import { waitUntil } from '../../support/wait-until.ts'

const followEvents = `subscription ($after: String) {
  runEvents(id: "${runId}", after: $after) { cursor node { type revision summary } }
}`
const [requestedEvent, startedEvent] = liveRunEvents.map(entryOf)
if (requestedEvent === undefined || startedEvent === undefined) throw new Error('the fake run has two events')

/** The reader was told to stop, and its generator has ended. */
const letGo = (source: FakeSource<unknown>, readers = 1) =>
  waitUntil(() => source.aborted === readers && source.returned === readers, 'the source to be let go', 2_000)

describe('[R23] over WebSocket', () => {
  it('events arrive as they happen, in order, and the end is told', async () => {
    await using server = await startApiServer()
    const { events } = server.control.sources
    events.push(requestedEvent)
    const client = subscribe(server.url, testToken, followEvents)
    expect(await client.next()).toEqual({
      runEvents: { cursor: 'cursor-0', node: { type: 'RunRequested', revision: 0, summary: expect.any(String) } },
    })
    events.push(startedEvent)
    expect(await client.until(({ runEvents }) => runEvents.cursor === 'cursor-1')).toMatchObject({
      runEvents: { node: { type: 'RunStarted' } },
    })
    events.end()
    expect(await client.ended()).toEqual({ type: 'complete' })
    expect(client.received).toHaveLength(2)
    await letGo(events)
    await client.close()
  })

  it('a client that unsubscribes lets the source go, while that waits for the next event', async () => {
    await using server = await startApiServer()
    const { events } = server.control.sources
    events.push(requestedEvent)
    const client = subscribe(server.url, testToken, followEvents)
    await client.next()
    await client.close()
    await letGo(events)
  })

  it('one that vanishes does so too, with all that it had subscribed to', async () => {
    await using server = await startApiServer()
    const { runs, output } = server.control.sources
    const socket = await openSocket(server.url, { authorization: `Bearer ${testToken}` })
    for (const [id, query] of Object.entries({
      a: 'subscription { runChanged { id } }',
      b: `subscription { runOutput(id: "${runId}") { text } }`,
    })) {
      socket.send(JSON.stringify({ type: 'subscribe', id, payload: { query } }))
    }
    await waitUntil(() => runs.opened + output.opened === 2, 'both subscriptions')
    socket.terminate()
    await letGo(runs)
    await letGo(output)
  })

  it('runChanged and runOutput', async () => {
    await using server = await startApiServer()
    const { runs, output } = server.control.sources
    const changes = subscribe(server.url, testToken, `subscription { runChanged(runId: "${runId}") { id status } }`)
    const text = subscribe(
      server.url,
      testToken,
      `subscription { runOutput(id: "${runId}", offset: 3) { offset next text ended } }`,
    )
    runs.push(liveRun)
    runs.push(killedRun)
    output.push({ offset: 3, next: 8, text: 'hello', ended: true })
    expect(await changes.until(({ runChanged }) => runChanged.status === 'KILLED')).toEqual({
      runChanged: { id: runId, status: 'KILLED' },
    })
    expect(await text.next()).toEqual({ runOutput: { offset: 3, next: 8, text: 'hello', ended: true } })
    await Promise.all([changes.close(), text.close()])
  })

  it.each([
    `subscription { runEvents(id: "run_ffffffffffff") { cursor } }`,
    `subscription { runOutput(id: "run_ffffffffffff") { text } }`,
    `subscription { runChanged(runId: "run_ffffffffffff") { id } }`,
  ])('no such run: %s', async (query) => {
    await using server = await startApiServer()
    const client = subscribe(server.url, testToken, query)
    expect(await client.ended()).toMatchObject({
      type: 'errors',
      errors: [{ message: 'There is no run "run_ffffffffffff".', extensions: { code: 'RUN_NOT_FOUND' } }],
    })
    await client.close()
  })

  it.each([
    ['a cursor of somewhere else', new InvalidCursor('nonsense'), 'BAD_USER_INPUT', /nonsense/],
    ['the store goes away', new StoreUnavailable('ECONNRESET /secret'), 'STORE_UNAVAILABLE', /try again/],
    ['a bug', new Error('secret'), 'INTERNAL_SERVER_ERROR', /log has the cause/],
  ])('%s: the error as clients may see it', async (_what, error, code, message) => {
    await using server = await startApiServer()
    const client = subscribe(server.url, testToken, followEvents, { after: 'nonsense' })
    server.control.sources.events.fail(error)
    const end = await client.ended()
    expect(end).toMatchObject({
      type: 'errors',
      errors: [{ extensions: { code }, message: expect.stringMatching(message) }],
    })
    expect(JSON.stringify(end)).not.toContain('secret')
    await letGo(server.control.sources.events)
    await client.close()
  })

  it('what is malformed costs the operation, not the connection', async () => {
    await using server = await startApiServer()
    const socket = await openSocket(server.url, { authorization: `Bearer ${testToken}` })
    const said = messagesOf(socket)
    const malformed = ['subscription { runEvents(', '{ nope }', '{a'.repeat(9_000), '']
    for (const [index, query] of malformed.entries()) {
      socket.send(JSON.stringify({ type: 'subscribe', id: `bad-${index}`, payload: { query } }))
      expect(await said.next()).toMatchObject({
        type: 'error',
        id: `bad-${index}`,
        payload: [{ message: expect.any(String) }],
      })
    }
    const variables = { id: { not: 'an id' } }
    const query = 'query ($id: ID!) { run(id: $id) { id } }'
    socket.send(JSON.stringify({ type: 'subscribe', id: 'types', payload: { query, variables } }))
    expect(await said.next()).toMatchObject({
      id: 'types',
      payload: { errors: [{ extensions: { code: 'BAD_USER_INPUT' } }] },
    })
    expect(await said.next()).toEqual({ type: 'complete', id: 'types' })
    socket.send(JSON.stringify({ type: 'subscribe', id: 'good', payload: { query: '{ viewer { serverVersion } }' } }))
    expect(await said.next()).toMatchObject({ id: 'good', payload: { data: { viewer: { serverVersion: '1.2.3' } } } })
    expect(server.logged.filter(({ level }) => level === 'error')).toEqual([])
    socket.terminate()
  })
})

describe('[R19] a WebSocket without the token is closed', () => {
  it.each([
    ['no token', {}, 'no token was sent'],
    ['another token', { authorization: 'Bearer rw_nope' }, 'the token that was sent is not valid'],
    ['no string', { authorization: { toString: 'x' } }, 'the token that was sent is not valid'],
  ])('%s: 4401, and it is recorded', async (_what, connectionParams, why) => {
    await using server = await startApiServer()
    const socket = new WebSocket(`${server.url}/graphql`, 'graphql-transport-ws')
    await once(socket, 'open')
    socket.send(JSON.stringify({ type: 'connection_init', payload: connectionParams }))
    const [code, reason] = await once(socket, 'close')
    expect({ code, reason: String(reason) }).toEqual({ code: 4401, reason: expect.stringContaining(why) })
    expect(server.control.refused).toEqual([`WebSocket /graphql from 127.0.0.1: ${why}`])
  })

  it('and no operation gets through before it has shown one', async () => {
    await using server = await startApiServer()
    for (const { document } of operationsOf(schema)) {
      const socket = new WebSocket(`${server.url}/graphql`, 'graphql-transport-ws')
      await once(socket, 'open')
      socket.send(JSON.stringify({ type: 'subscribe', id: '1', payload: { query: document } }))
      const [code] = await once(socket, 'close')
      expect({ document, code }).toEqual({ document, code: 4401 })
    }
    expect(server.control.calls).toEqual([])
  })

  it('another subprotocol gets no connection', async () => {
    await using server = await startApiServer()
    const socket = new WebSocket(`${server.url}/graphql`, 'graphql-ws')
    expect(String((await once(socket, 'error'))[0])).toContain('no subprotocol')
  })

  it('what is no message: 4400', async () => {
    await using server = await startApiServer()
    const socket = new WebSocket(`${server.url}/graphql`, 'graphql-transport-ws')
    await once(socket, 'open')
    socket.send('nonsense')
    const [code] = await once(socket, 'close')
    expect(code).toBe(4400)
  })

  it('a message that is too large: 1009, and the server lives on', async () => {
    await using server = await startApiServer()
    const socket = await openSocket(server.url, { authorization: `Bearer ${testToken}` })
    socket.send('x'.repeat(2 * 1024 * 1024))
    const [code] = await once(socket, 'close')
    expect(code).toBe(1009)
    expect((await fetch(`${server.url}/livez`)).status).toBe(200)
  })

  it('no other address takes a WebSocket', async () => {
    await using server = await startApiServer()
    const socket = new WebSocket(`${server.url}/livez`, 'graphql-transport-ws')
    const [error] = await once(socket, 'error')
    expect(String(error)).toContain('404')
  })
})

describe('[R23] as server-sent events', () => {
  it('events arrive as they happen, and the end is told', async () => {
    await using server = await startApiServer()
    const { events } = server.control.sources
    events.push(requestedEvent)
    const stream = await eventStream(server.url, testToken, followEvents)
    expect(stream.status).toBe(200)
    expect(await stream.next()).toMatchObject({ event: 'next', data: { data: { runEvents: { cursor: 'cursor-0' } } } })
    events.push(startedEvent)
    expect(await stream.next()).toMatchObject({ event: 'next', data: { data: { runEvents: { cursor: 'cursor-1' } } } })
    events.end()
    expect(await stream.next()).toMatchObject({ event: 'complete' })
    await letGo(events)
  })

  it('a client that goes away lets the source go', async () => {
    await using server = await startApiServer()
    const { events } = server.control.sources
    events.push(requestedEvent)
    const stream = await eventStream(server.url, testToken, followEvents)
    await stream.next()
    stream.leave()
    await letGo(events)
  })

  it('an error in the middle, as clients may see it', async () => {
    await using server = await startApiServer()
    const stream = await eventStream(server.url, testToken, followEvents)
    server.control.sources.events.fail(new StoreUnavailable('ECONNRESET /secret'))
    const { data } = await stream.next()
    expect(data).toMatchObject({ errors: [{ extensions: { code: 'STORE_UNAVAILABLE' } }] })
    expect(JSON.stringify(data)).not.toContain('secret')
    stream.leave()
  })

  it('a client that takes JSON only is told what to accept', async () => {
    await using server = await startApiServer()
    const response = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json', authorization: `Bearer ${testToken}` },
      body: JSON.stringify({ query: followEvents }),
    })
    expect(response.status).toBe(406)
    expect(await response.json()).toMatchObject({ errors: [{ message: expect.stringContaining('text/event-stream') }] })
    expect(server.control.sources.events.opened).toBe(0)
  })
})

describe('the server ends', () => {
  it('live subscriptions complete, waiting clients get their answer, and it is over at once', async () => {
    const server = await startApiServer({
      killRun: (_context, _input, signal) =>
        new Promise((resolve) => {
          const message = 'The kill goes on.'
          signal?.addEventListener('abort', () => resolve({ type: 'StoreUnavailable', message }))
        }),
    })
    const { events, runs } = server.control.sources
    events.push(requestedEvent)
    const overWebSocket = subscribe(server.url, testToken, followEvents)
    const asEvents = await eventStream(server.url, testToken, followEvents)
    const idle = subscribe(server.url, testToken, 'subscription { runChanged { id } }')
    const kill = fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${testToken}` },
      body: JSON.stringify({ query: `mutation { killRun(input: { runId: "${runId}" }) { __typename } }` }),
    }).then((response) => response.json())
    await Promise.all([
      overWebSocket.next(),
      asEvents.next(),
      waitUntil(() => runs.opened === 1, 'the idle subscription'),
    ])
    await waitUntil(() => events.opened === 2, 'both followers')

    const before = performance.now()
    await server.close()
    expect(performance.now() - before).toBeLessThan(1_000)
    expect(await overWebSocket.ended()).toEqual({ type: 'complete' })
    expect(await idle.ended()).toEqual({ type: 'complete' })
    expect(await asEvents.next()).toMatchObject({ event: 'complete' })
    expect(await kill).toEqual({ data: { killRun: { __typename: 'StoreUnavailable' } } })
    await letGo(events, 2)
    await letGo(runs)
    await server.close()
  })

  it('clients that do not react cannot hold it', async () => {
    const server = await startApiServer({ hosts: () => new Promise(() => {}) })
    const socket = await openSocket(server.url, { authorization: `Bearer ${testToken}` })
    socket.pause()
    const unanswered = eventStream(server.url, testToken, '{ hosts { id } }').catch(() => 'cut')
    const before = performance.now()
    await server.close()
    expect(performance.now() - before).toBeLessThan(4_000)
    expect(await unanswered).toBe('cut')
    socket.terminate()
  })
})

async function openSocket(url: string, connectionParams: object): Promise<WebSocket> {
  const socket = new WebSocket(`${url}/graphql`, 'graphql-transport-ws')
  await once(socket, 'open')
  socket.send(JSON.stringify({ type: 'connection_init', payload: connectionParams }))
  await once(socket, 'message')
  return socket
}

function messagesOf(socket: WebSocket) {
  const queue: unknown[] = []
  socket.on('message', (message) => queue.push(JSON.parse(String(message))))
  return { next: () => waitUntil(() => queue.shift(), 'a message') }
}
