import { createServer } from 'node:http'
import { describe, expect, it } from 'vitest'
import { CannotListen, createHttpServer, PortInUse } from '../../../src/server/http-server.ts'
import { startApiServer } from '../../support/api-server.ts'
import { createFakeControl } from '../../support/fake-control.ts'
import { waitUntil } from '../../support/wait-until.ts'

const browser = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }

describe('[R22] health', () => {
  it('/livez', async () => {
    await using server = await startApiServer({ readiness: () => new Promise(() => {}) })
    const response = await fetch(`${server.url}/livez`)
    expect({ status: response.status, body: await response.json() }).toEqual({
      status: 200,
      body: { status: 'alive', version: '1.2.3' },
    })
  })

  it.each([
    [200, { ready: true, checks: [{ name: 'store', ok: true, detail: 'answers' }] }],
    [503, { ready: false, checks: [{ name: 'store', ok: false, detail: 'is away since 3 s' }] }],
  ])('/readyz: %i', async (status, readiness) => {
    await using server = await startApiServer({ readiness: async () => readiness })
    const response = await fetch(`${server.url}/readyz`)
    expect({ status: response.status, body: await response.json() }).toEqual({ status, body: readiness })
  })

  it('/readyz when the checks break, without what broke', async () => {
    await using server = await startApiServer({ readiness: () => Promise.reject(new Error('secret')) })
    const response = await fetch(`${server.url}/readyz`)
    const body = await response.text()
    expect(response.status).toBe(503)
    expect(body).toContain('"ready":false')
    expect(body).not.toContain('secret')
    expect(server.logged).toMatchObject([{ level: 'error', fields: { err: new Error('secret') } }])
  })

  it('/readyz when the checks hang: it answers all the same', async () => {
    await using server = await startApiServer({ readiness: () => new Promise(() => {}) })
    const response = await fetch(`${server.url}/readyz`)
    expect({ status: response.status, body: await response.json() }).toMatchObject({
      status: 503,
      body: { checks: [{ ok: false, detail: 'no answer within 3 s' }] },
    })
  })

  it('other methods and addresses', async () => {
    await using server = await startApiServer()
    expect((await fetch(`${server.url}/livez`, { method: 'POST' })).status).toBe(405)
    expect((await fetch(`${server.url}/readyz`, { method: 'HEAD' })).status).toBe(200)
    expect((await fetch(`${server.url}/nope`)).status).toBe(404)
    const signpost = await fetch(`${server.url}/`)
    expect(await signpost.text()).toContain('/graphql')
  })
})

describe('[R38] GraphiQL', () => {
  it('is served to a browser without a token, with a place for one, and loads nothing from elsewhere', async () => {
    await using server = await startApiServer()
    const response = await fetch(`${server.url}/graphql`, { headers: browser })
    const page = await response.text()
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toContain('text/html')
    expect(response.headers.get('x-frame-options')).toBe('DENY')
    expect(page).toContain('Bearer PASTE-THE-TOKEN')
    expect(page).toContain('"subscriptionsProtocol":"SSE"')
    expect(page.match(/<(script|link|img)[^>]+(src|href)="?https?:[^>]*>/g)).toBeNull()
    expect(server.control.refused).toEqual([])
  })

  it('an operation in its address is not run', async () => {
    await using server = await startApiServer({
      hosts: () => {
        throw new Error('an operation was run')
      },
    })
    const query = encodeURIComponent('{ hosts { id } }')
    const response = await fetch(`${server.url}/graphql?query=${query}`, { headers: browser })
    expect(await response.text()).toContain('<title>Runwarden</title>')
    expect(server.logged).toEqual([])
  })
})

describe('where it listens', () => {
  const options = {
    control: createFakeControl(),
    authenticate: () => undefined,
    log: { info() {}, warn() {}, error() {} },
    version: '0',
  }

  it('a port in use: which one, and the way out', async () => {
    await using first = await startApiServer()
    const second = createHttpServer({ ...options, port: first.port })
    const error = await second.catch((error: unknown) => error)
    expect(error).toBeInstanceOf(PortInUse)
    expect(error).toMatchObject({ port: first.port, cause: { code: 'EADDRINUSE' } })
    expect(String(error)).toMatch(new RegExp(`Port ${first.port} of 127.0.0.1.*runwarden down.*RUNWARDEN_PORT`))
  })

  it('an address that this machine does not have', async () => {
    const error = await createHttpServer({ ...options, port: 0, address: '192.0.2.1' }).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(CannotListen)
    expect(String(error)).toContain('192.0.2.1')
  })

  it('IPv6 gets an address that can be used', async () => {
    const server = await createHttpServer({ ...options, port: 0, address: '::1' })
    expect((await fetch(`${server.url}/livez`)).status).toBe(200)
    await server.close()
  })

  it('its port is free again when it has ended', async () => {
    const server = await startApiServer()
    await fetch(`${server.url}/livez`)
    await server.close()
    const next = createServer()
    await new Promise<void>((resolve) => next.listen(server.port, '127.0.0.1', resolve))
    await new Promise((resolve) => next.close(resolve))
    await waitUntil(() => !next.listening, 'the port to be free')
  })
})
