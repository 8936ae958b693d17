import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { startApiServer, testToken } from '../../support/api-server.ts'
import { graphql, subscribe } from '../../support/graphql-client.ts'
import { runId } from '../../support/run-events.ts'

/** What one client may ask of the server, or fail to take from it, while others need it. */
describe('GraphiQL', () => {
  it('is one page in memory, however many take it slowly', async () => {
    await using server = await startApiServer()
    const page = { headers: { accept: 'text/html' } }
    const bytes = (await (await fetch(`${server.url}/graphql`, page)).arrayBuffer()).byteLength
    const before = process.memoryUsage()
    const readers = await Promise.all(Array.from({ length: 30 }, () => slowReader(server.port)))
    const after = process.memoryUsage()
    for (const reader of readers) reader.destroy()
    // A page for each would be thirty times its size.
    expect(after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed).toBeLessThan(5 * bytes)
  })
})

/** Asks for the page and takes no more than its beginning. */
async function slowReader(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' })
  socket.write('GET /graphql HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n')
  await once(socket, 'readable')
  return socket
}

describe('a document that asks for more than the store can give to one client', () => {
  const events = (first: number | string) => `events(first: ${first}) { edges { cursor } }`
  const aliased = (count: number, field: string) =>
    Array.from({ length: count }, (_, index) => `a${index}: ${field}`).join(' ')
  const nested = `runs(first: 500) { edges { node { ${events(500)} } } }`
  const viaFragments = `{ ...A } fragment A on Query { runs(first: 400) { ...B } } fragment B on RunConnection { edges { node { ...C } } }
    fragment C on Run { ... on Node { ...D } } fragment D on Run { ${events(400)} }`

  it.each([
    ['lists in lists', `{ ${nested} }`],
    ['many lookups of little', `{ runs(first: 500) { edges { node { ${aliased(5, events(1))} } } } }`],
    ['one list many times', `{ ${aliased(1200, 'runs(first: 1) { edges { cursor } }')} }`],
    ['standard sizes', `{ ${aliased(5, 'runs { edges { node { events { edges { cursor } } } } }')} }`],
    ['behind fragments', viaFragments],
    [
      'of a mutation',
      `mutation { killRun(input: { runId: "${runId}" }) { ... on KillRunAnswer { run { ${aliased(60, events(500))} } } } }`,
    ],
  ])('%s: refused before anything is done', async (_what, document) => {
    await using server = await startApiServer()
    const { data, errors } = await graphql(server.url, testToken, document)
    expect({ data, errors }).toMatchObject({
      data: undefined,
      errors: [{ extensions: { code: 'DOCUMENT_TOO_COSTLY' } }],
    })
    expect(errors?.[0]?.message).toMatch(/smaller pages/)
    expect(server.control.calls).toEqual([])
  })

  it('a size in a variable counts as what it is', async () => {
    await using server = await startApiServer()
    const document = `query ($n: Int = 500) { runs(first: $n) { edges { node { ${events('$n')} } } } }`
    expect((await graphql(server.url, testToken, document, { n: 100 })).errors).toBeUndefined()
    for (const variables of [{}, { n: 500 }]) {
      const { errors } = await graphql(server.url, testToken, document, variables)
      expect(errors).toMatchObject([{ extensions: { code: 'DOCUMENT_TOO_COSTLY' } }])
    }
  })

  it('a subscription, over WebSocket', async () => {
    await using server = await startApiServer()
    const watch = subscribe(server.url, testToken, `subscription { runChanged { ${aliased(60, events(500))} } }`)
    expect(await watch.ended()).toMatchObject({
      type: 'errors',
      errors: [{ extensions: { code: 'DOCUMENT_TOO_COSTLY' } }],
    })
    await watch.close()
  })

  it('pages that people and tools ask for are answered', async () => {
    await using server = await startApiServer()
    const document = `{ runs(first: 500) { edges { node { id ${events(20)} } } } audit(first: 500) { edges { cursor } } }`
    expect((await graphql(server.url, testToken, document)).errors).toBeUndefined()
  })
})

describe('other things that no client sends by accident', () => {
  it.each([
    ['{ runs(filter: { workflow: "a\\u0000b" }) { edges { cursor } } }', 'filter.workflow'],
    ['{ audit(runId: "a\\u0000b") { edges { cursor } } }', 'runId'],
  ])('a NUL where no name has one: %s', async (document, name) => {
    await using server = await startApiServer()
    const { errors } = await graphql(server.url, testToken, document)
    expect(errors).toMatchObject([{ extensions: { code: 'BAD_USER_INPUT' }, message: expect.stringContaining(name) }])
  })

  it('a content type in capitals is the same content type', async () => {
    await using server = await startApiServer()
    const headers = { 'content-type': 'Application/JSON', authorization: `Bearer ${testToken}` }
    const body = '{"query":"{ __typename }"}'
    const response = await fetch(`${server.url}/graphql`, { method: 'POST', headers, body })
    expect(await response.json()).toEqual({ data: { __typename: 'Query' } })
  })
})
