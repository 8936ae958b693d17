import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { schema } from '../../../schema/schema.ts'
import type { Control } from '../../../src/control/control.ts'
import { InvalidCursor } from '../../../src/control/queries/page.ts'
import { StoreUnavailable } from '../../../src/event-store/event-store.ts'
import { type ApiServer, startApiServer, testToken } from '../../support/api-server.ts'
import { killedRun } from '../../support/fake-control.ts'
import { graphql } from '../../support/graphql-client.ts'
import { operationsOf } from '../../support/root-fields.ts'
import { runId } from '../../support/run-events.ts'

let server: ApiServer
beforeAll(async () => {
  server = await startApiServer()
})
afterAll(() => server.close())

const ask = (query: string, variables?: Record<string, unknown>) => graphql(server.url, testToken, query, variables)
const post = (body: string, headers: Record<string, string> = {}) =>
  fetch(`${server.url}/graphql`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', authorization: `Bearer ${testToken}`, ...headers },
  })

describe('reading', () => {
  it('[R38] a run, with every kind of thing that is known of it', async () => {
    const { status, data, errors } = await ask(`{
      run(id: "${runId}") {
        id status killPhase pid command workspacePath host labels { name value } requestedBy { kind id } requestedAt
        verdict { verdict rule explanation evidence { fact value } } origin policy { graceMs } outputBytes notices { code }
        cleanup { status steps { step } } viewerCanKill(force: true) { allowed message } revision
        events(first: 1) { edges { cursor node { type summary data } } pageInfo { hasNextPage endCursor } }
      }
    }`)
    expect(errors).toBeUndefined()
    expect(status).toBe(200)
    expect(data.run).toMatchObject({
      id: runId,
      status: 'RUNNING',
      pid: 4242,
      origin: 'LAUNCHED',
      command: ['agent', '--api-key', '[redacted]', 'go'],
      requestedBy: { kind: 'USER', id: 'ada' },
      requestedAt: '2026-01-01T00:00:00.000Z',
      verdict: { verdict: 'STUCK', rule: 'STUCK_IN_INITIALIZATION' },
      viewerCanKill: { allowed: true },
      events: { pageInfo: { hasNextPage: true, endCursor: 'cursor-0' } },
    })
    expect(JSON.stringify(data)).not.toContain('hush')
  })

  it('[R24] a timeline and phases, of a replay until then and by its clock', async () => {
    const fields = `
      timeline(first: 1) { edges { node { revision type at actor { kind id } summary late } } pageInfo { hasNextPage } }
      phases { kind name from to durationMs }`
    const { data, errors } = await ask(`{
      run(id: "${runId}") { ${fields} }
      runAt(id: "${runId}", revision: 1) { ${fields} last: phases(last: 1) { kind } }
    }`)
    expect(errors).toBeUndefined()
    expect(data.run.timeline).toMatchObject({
      edges: [{ node: { revision: 0, type: 'RunRequested', actor: { kind: 'USER', id: 'ada' }, late: false } }],
      pageInfo: { hasNextPage: true },
    })
    // The fake says: as of 2 s after the request, 1 s after the start.
    expect(data.runAt.phases).toEqual([
      {
        kind: 'WAITING',
        name: null,
        from: '2026-01-01T00:00:00.000Z',
        to: '2026-01-01T00:00:01.000Z',
        durationMs: 1_000,
      },
      { kind: 'WORKING', name: 'initialization', from: '2026-01-01T00:00:01.000Z', to: null, durationMs: 1_000 },
    ])
    expect(data.runAt.last).toEqual([{ kind: 'WORKING' }])
    expect(data.run.phases[1].durationMs).toBeGreaterThan(1_000_000)
  })

  it('lists, the audit, hosts, projections, the viewer; node by the run id itself', async () => {
    const { data, errors } = await ask(`{
      runs(filter: { status: [RUNNING], live: true }, first: 1) { edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }
      audit { edges { node { id at actor { kind id } action target decision why details } } }
      hosts { id level slots { capacity used waiting } checks { name ok } }
      projections { name position lag state error failure { error } skips { position skippedBy { kind id } reason } }
      storeStats { engine storeId position events streams { kind events retired } appendedPerSecond bytesOnDisk }
      viewer { actor { kind id } serverVersion }
      node(id: "${runId}") { id ... on Run { status } }
      runAt(id: "${runId}", revision: 1) { revision asOf verdict { verdict } }
      runOutput(id: "${runId}", offset: 3) { offset next text ended }
    }`)
    expect(errors).toBeUndefined()
    expect(data).toMatchObject({
      runs: {
        edges: [{ node: { id: runId } }],
        pageInfo: { hasNextPage: true, hasPreviousPage: false, endCursor: 'c1' },
      },
      audit: { edges: [{ node: { action: 'killRun', decision: 'ALLOWED', details: { force: true } } }] },
      hosts: [{ level: 'CGROUP_V2', slots: { capacity: 4 } }],
      projections: [
        {
          ...{ name: 'runs', state: 'running', error: null, failure: null },
          skips: [{ position: 7, skippedBy: { kind: 'USER', id: 'ada' }, reason: 'known bug' }],
        },
      ],
      storeStats: { engine: 'KURRENTDB', position: 12, events: null, streams: null },
      viewer: { actor: { kind: 'TOKEN', id: 'admin' }, serverVersion: '1.2.3' },
      node: { id: runId, status: 'RUNNING' },
      // By the clock of then: now it is STUCK.
      runAt: { revision: 1, asOf: '2026-01-01T00:00:02.000Z', verdict: { verdict: 'NORMAL' } },
      runOutput: { offset: 3, next: 8, text: 'hello', ended: false },
    })
  })

  it('an unknown run is null, not an error', async () => {
    const id = 'run_ffffffffffff'
    const { data, errors } = await ask(
      `{ run(id: "${id}") { id } runEvents(id: "${id}") { edges { cursor } } runOutput(id: "${id}") { text } node(id: "?") { id } }`,
    )
    expect({ data, errors }).toEqual({ data: { run: null, runEvents: null, runOutput: null, node: null } })
  })

  it.each([
    ['{ runs(first: 0) { edges { cursor } } }', '"first" is 0; it must be from 1 to 500.'],
    ['{ audit(first: 501) { edges { cursor } } }', '"first" is 501; it must be from 1 to 500.'],
    [`{ runOutput(id: "${runId}", offset: -1) { text } }`, '"offset" is -1; it must be a whole number'],
    [`{ runOutput(id: "${runId}", offset: 1.5) { text } }`, '"offset" is 1.5'],
    [`{ runOutput(id: "${runId}", maxBytes: 2000000) { text } }`, 'from 1 to 1048576'],
    [`{ runAt(id: "${runId}", revision: -1) { id } }`, '"revision" is -1'],
    [`{ run(id: "${runId}") { phases(last: 501) { kind } } }`, '"last" is 501'],
    [`{ runAt(id: "${runId}") { id } }`, 'either "revision" or "time"'],
    [`{ runAt(id: "${runId}", revision: 1, time: "2026-01-01T00:00:02Z") { id } }`, 'either "revision" or "time"'],
  ])('out of bounds: %s', async (query, message) => {
    const { errors } = await ask(query)
    expect(errors).toMatchObject([{ extensions: { code: 'BAD_USER_INPUT' } }])
    expect(errors?.[0]?.message).toContain(message)
  })
})

describe('mutations', () => {
  it('pass on what was given, and who asked', async () => {
    await ask(
      `mutation Start($input: StartRunInput!) { startRun(input: $input) { ... on StartRunAnswer { run { id } } } }`,
      {
        input: {
          command: ['sleep', '1'],
          env: [
            { name: 'A', value: '1' },
            { name: '__proto__', value: 'x' },
            { name: 'A', value: '2' },
          ],
          labels: [{ name: 'team', value: 'red' }],
          workspace: { kind: 'TEMPORARY', path: null },
          policy: { graceMs: 5, slowAfterMs: null },
          prompt: null,
        },
      },
    )
    const call = server.control.calls.at(-1)
    expect(call?.context).toMatchObject({ actor: { kind: 'token', id: 'admin' } })
    expect(JSON.parse(JSON.stringify(call?.input))).toEqual({
      command: ['sleep', '1'],
      env: JSON.parse('{"A":"2","__proto__":"x"}'),
      labels: { team: 'red' },
      workspace: { kind: 'TEMPORARY' },
      policy: { graceMs: 5 },
    })
  })

  it('[R4] killRun answers with the receipt, under one correlation id', async () => {
    const { data, headers } = await ask(
      `mutation { killRun(input: { runId: "${runId}", force: true, waitFor: KILLED }) {
        __typename ... on KillRunAnswer { success runId killedAt cleanupStatus message run { status receipt { proven level json } kill { kind } pid } } } }`,
    )
    expect(data.killRun).toMatchObject({
      __typename: 'KillRunAnswer',
      success: true,
      cleanupStatus: 'RUNNING',
      run: { status: 'KILLED', receipt: { proven: true, level: 'CGROUP_V2', json: { runId } }, pid: null },
    })
    const call = server.control.calls.at(-1)
    expect(call?.input).toEqual({ runId, force: true, emergency: false, waitFor: 'KILLED' })
    expect(headers.get('x-correlation-id')).toBe(call?.context.correlationId)
  })

  it('a client that goes away ends its wait', async () => {
    const { promise: reached, resolve } = Promise.withResolvers<AbortSignal>()
    await using waiting = await startApiServer({
      killRun: (_context, _input, signal) => {
        if (signal !== undefined) resolve(signal)
        return new Promise(() => {})
      },
    })
    const client = new AbortController()
    const query = `mutation { killRun(input: { runId: "${runId}" }) { __typename } }`
    const answer = graphql(waiting.url, testToken, query, {}, client.signal).catch(() => 'gone')
    const signal = await reached
    expect(signal.aborted).toBe(false)
    client.abort()
    await new Promise((done) => signal.addEventListener('abort', done))
    expect(await answer).toBe('gone')
  })
})

describe('typed failures come out as members of the union, with a message for people', () => {
  type Failing = { [Method in keyof Control]?: unknown }
  const message = 'Told to people.'
  const start = 'mutation { startRun(input: { command: ["x"] }) { FIELDS } }'
  const kill = `mutation { killRun(input: { runId: "${runId}" }) { FIELDS } }`
  const register = 'mutation { registerProcess(input: { pid: 1 }) { FIELDS } }'
  const rebuild = 'mutation { rebuildProjections(names: ["x"]) { FIELDS } }'
  const skip = 'mutation { skipProjectionEvent(name: "x", position: 7) { FIELDS } }'
  const issues = [{ path: 'command.0', message: 'is empty' }]

  it.each([
    [
      'startRun',
      start,
      { type: 'InvalidInput', issues },
      '... on InvalidInput { issues { path message } }',
      { issues },
    ],
    ['startRun', start, { type: 'IdempotencyConflict', runId }, '... on IdempotencyConflict { runId }', { runId }],
    ['startRun', start, { type: 'StoreUnavailable' }, '', {}],
    ['killRun', kill, { type: 'InvalidInput', issues }, '', {}],
    ['killRun', kill, { type: 'RunNotFound', runId }, '... on RunNotFound { runId }', { runId }],
    [
      'killRun',
      kill,
      { type: 'AlreadyEnded', run: killedRun },
      '... on AlreadyEnded { run { status } }',
      { run: { status: 'KILLED' } },
    ],
    ['killRun', kill, { type: 'PermissionDenied' }, '', {}],
    ['killRun', kill, { type: 'StoreUnavailable' }, '', {}],
    ['registerProcess', register, { type: 'RunIdTaken', runId }, '... on RunIdTaken { runId }', { runId }],
    [
      'registerProcess',
      register,
      { type: 'RegistrationRefused', code: 'KERNEL_THREAD', pid: 2 },
      '... on RegistrationRefused { code pid }',
      { code: 'KERNEL_THREAD', pid: 2 },
    ],
    ['registerProcess', register, { type: 'InvalidInput', issues }, '', {}],
    ['registerProcess', register, { type: 'StoreUnavailable' }, '', {}],
    [
      'rebuildProjections',
      rebuild,
      { type: 'UnknownProjection', known: ['runs'] },
      '... on UnknownProjection { known }',
      { known: ['runs'] },
    ],
    ['rebuildProjections', rebuild, { type: 'StoreUnavailable' }, '', {}],
    [
      'rebuildProjections',
      rebuild,
      { type: 'RebuildFailed', projection: 'runs', position: 7 },
      '... on RebuildFailed { projection position }',
      { projection: 'runs', position: 7 },
    ],
    ['skipProjectionEvent', skip, { type: 'ProjectionNotStopped' }, '', {}],
    ['skipProjectionEvent', skip, { type: 'UnknownProjection', known: ['runs'] }, '', {}],
  ])('%s: %o', async (method, document, failure, fragment, fields) => {
    const failing: Failing = { [method]: async () => ({ ...failure, message }) }
    await using failed = await startApiServer(failing as Partial<Control>)
    const query = document.replace('FIELDS', `__typename ... on Problem { message } ${fragment}`)
    const { data, errors } = await graphql(failed.url, testToken, query)
    expect(errors).toBeUndefined()
    expect(data[method]).toEqual({ __typename: failure.type, message, ...fields })
  })
})

describe('what goes wrong behind the schema', () => {
  it('the store is away: a code to act on', async () => {
    await using away = await startApiServer({
      runs: async () => {
        throw new StoreUnavailable('connect ECONNREFUSED /secret/socket')
      },
    })
    const { errors, data } = await graphql(away.url, testToken, '{ runs { edges { cursor } } }')
    expect(errors).toMatchObject([{ path: ['runs'], extensions: { code: 'STORE_UNAVAILABLE' } }])
    expect(errors?.[0]?.message).toContain('try again')
    expect(JSON.stringify({ errors, data })).not.toContain('secret')
  })

  it('a cursor of somewhere else', async () => {
    await using strange = await startApiServer({
      runs: async (_filter, { after }) => {
        throw new InvalidCursor(after ?? '')
      },
    })
    const { errors } = await graphql(strange.url, testToken, '{ runs(after: "nonsense") { edges { cursor } } }')
    expect(errors).toMatchObject([
      { extensions: { code: 'BAD_USER_INPUT' }, message: expect.stringContaining('nonsense') },
    ])
  })

  it('what nobody foresaw is masked, and found in the log under the id that the client got', async () => {
    const cause = new Error('password=hunter2', { cause: new Error('deeper') })
    await using broken = await startApiServer({ hosts: () => Promise.reject(cause) })
    const { errors, headers } = await graphql(broken.url, testToken, '{ hosts { id } }')
    const { correlationId } = errors?.[0]?.extensions ?? {}
    expect(errors).toMatchObject([{ path: ['hosts'], extensions: { code: 'INTERNAL_SERVER_ERROR' } }])
    expect(errors?.[0]?.message).toContain(correlationId)
    expect(headers.get('x-correlation-id')).toBe(correlationId)
    expect(JSON.stringify(errors)).not.toMatch(/hunter2|at .*\.ts/)
    expect(broken.logged).toMatchObject([{ level: 'error', fields: { correlationId, err: cause } }])
  })
})

describe('[R19] no anonymous access', () => {
  it.each(operationsOf(schema))('$operation $name: 401, over HTTP and as server-sent events', async ({ document }) => {
    for (const accept of ['application/json', 'text/event-stream']) {
      const response = await fetch(`${server.url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept },
        body: JSON.stringify({ query: document }),
      })
      expect(response.status).toBe(401)
      expect(response.headers.get('www-authenticate')).toMatch(/^Bearer/)
      expect(await response.json()).toMatchObject({ errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] })
    }
  })

  it.each([
    ['another token', `Bearer rw_${'b'.repeat(43)}`],
    ['no Bearer', testToken],
    ['nothing after Bearer', 'Bearer '],
    ['another scheme', `Basic ${testToken}`],
    ['the token and more', `Bearer ${testToken}x`],
  ])('%s is turned away, and that is recorded without the token', async (_what, authorization) => {
    const before = server.control.refused.length
    const response = await post('{"query":"{ __schema { types { name } } }"}', { authorization })
    expect(response.status).toBe(401)
    expect(server.control.refused.length).toBe(before + 1)
    expect(server.control.refused.at(-1)).toBe('POST /graphql from 127.0.0.1: the token that was sent is not valid')
  })

  it('introspection needs the token too, and works with it', async () => {
    const get = (headers: Record<string, string>) =>
      fetch(`${server.url}/graphql?query=${encodeURIComponent('{__schema{queryType{name}}}')}`, { headers })
    expect((await get({})).status).toBe(401)
    expect(await (await get({ authorization: `bearer ${testToken}` })).json()).toEqual({
      data: { __schema: { queryType: { name: 'Query' } } },
    })
  })
})

describe('malformed requests', () => {
  const big = (bytes: number) =>
    JSON.stringify({ query: '{ viewer { serverVersion } }', variables: { a: 'x'.repeat(bytes) } })

  it.each([
    ['malformed JSON', '{"query": ', {}, 400, /invalid JSON/],
    ['JSON that is no object', '"hello"', {}, 400, /object/],
    ['null', 'null', {}, 400, /object/],
    ['a batch', '[{"query":"{__typename}"},{"query":"{__typename}"}]', {}, 400, /Batching is not supported/],
    ['no query', '{}', {}, 400, /query/],
    ['a query that is no string', '{"query": 7}', {}, 400, /string/],
    ['variables that are no object', '{"query": "{__typename}", "variables": "x"}', {}, 400, /variables/],
    ['malformed GraphQL', '{"query": "{ runs("}', {}, 400, /Syntax Error/],
    ['an unknown field', '{"query": "{ nope }"}', {}, 400, /Cannot query field/],
    ['two operations and no name', '{"query": "query A {__typename} query B {__typename}"}', {}, 400, /operation/],
    [
      'wrong types',
      '{"query": "mutation { killRun(input: { runId: true, timeoutMs: \\"x\\" }) { __typename } }"}',
      {},
      400,
      /timeoutMs|Int/,
    ],
    [
      'a variable of a wrong type',
      '{"query": "query($id: ID!) { run(id: $id) { id } }", "variables": {"id": {"a": 1}}}',
      {},
      400,
      /ID cannot represent value/,
    ],
    ['a missing variable', '{"query": "query($id: ID!) { run(id: $id) { id } }"}', {}, 400, /\$id/],
    ['another content type', 'x=1', { 'content-type': 'application/x-www-form-urlencoded' }, 415, /application\/json/],
    ['no answer that the client accepts', '{"query":"{__typename}"}', { accept: 'image/png' }, 406, /./],
    ['a body that is too large', big(1.6 * 1024 * 1024), {}, 413, /larger than 1572864 bytes/],
    ['too many tokens', JSON.stringify({ query: `{ ${'__typename '.repeat(30_000)} }` }), {}, 400, /tokens/],
    ['endless nesting', JSON.stringify({ query: '{a'.repeat(9_000) }), {}, 400, /Syntax Error|nest/],
  ])('%s', async (_what, body, headers, status, message) => {
    const response = await post(body, { accept: 'application/graphql-response+json', ...headers })
    const text = await response.text()
    expect({ status: response.status, text }).toEqual({ status, text: expect.stringMatching(message) })
    expect(text).not.toMatch(/\n\s+at |\.ts:\d|node_modules/)
    expect(JSON.parse(text).errors[0].message).toEqual(expect.any(String))
  })

  it('an argv of 1 MiB gets to control, for its typed answer', async () => {
    const command = ['agent', ...Array.from({ length: 9 }, () => randomBytes(64 * 1024).toString('hex'))]
    const { status, data } = await ask(
      'mutation ($command: [String!]!) { startRun(input: { command: $command }) { __typename } }',
      { command },
    )
    expect({ status, data }).toEqual({ status: 200, data: { startRun: { __typename: 'StartRunAnswer' } } })
    expect(server.control.calls.at(-1)?.input).toMatchObject({ command })
  })

  it('too large without saying so beforehand', async () => {
    async function* chunks() {
      const chunk = Buffer.alloc(64 * 1024, 'x')
      for (let sent = 0; sent < 2 * 1024 * 1024; sent += chunk.length) yield chunk
    }
    const response = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${testToken}` },
      body: Readable.toWeb(Readable.from(chunks())),
      duplex: 'half',
    } as RequestInit)
    expect(response.status).toBe(413)
    expect(await response.json()).toMatchObject({ errors: [{ message: expect.stringContaining('too large') }] })
  })

  it.each(['PUT', 'DELETE', 'OPTIONS'])('%s', async (method) => {
    const response = await fetch(`${server.url}/graphql`, { method })
    expect({ status: response.status, allow: response.headers.get('allow') }).toEqual({
      status: 405,
      allow: 'GET, POST',
    })
  })

  it('a mutation by GET', async () => {
    const query = encodeURIComponent(`mutation { killRun(input: { runId: "${runId}" }) { __typename } }`)
    const calls = server.control.calls.length
    const response = await fetch(`${server.url}/graphql?query=${query}`, {
      headers: { authorization: `Bearer ${testToken}` },
    })
    expect(response.status).toBe(405)
    expect(server.control.calls.length).toBe(calls)
  })

  it('what is no HTTP at all', async () => {
    const socket = connect(server.port, '127.0.0.1')
    const answer = new Promise<string>((resolve) => socket.once('data', (data) => resolve(String(data))))
    socket.write('\x16\x03\x01nonsense\r\n\r\n')
    expect(await answer).toContain('400 Bad Request')
    socket.destroy()
  })

  it('and the server still serves', async () => {
    expect((await ask('{ viewer { serverVersion } }')).data).toEqual({ viewer: { serverVersion: '1.2.3' } })
    expect(server.logged.filter(({ level }) => level === 'error')).toEqual([])
  })
})
