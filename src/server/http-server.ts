import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { Control } from '../control/control.ts'
import type { Log } from '../control/log.ts'
import type { Authenticate } from './auth.ts'
import { handleGraphql } from './graphql-http.ts'
import { createGraphqlWs } from './graphql-ws.ts'
import { replyLive, replyReady } from './health.ts'
import { listen } from './listen.ts'
import { createOperations } from './operations.ts'
import { allows, reply, replyError } from './reply.ts'
import { createGraphql, graphqlPath } from './yoga.ts'

export { CannotListen, PortInUse } from './listen.ts'

export type HttpServerOptions = {
  control: Control
  authenticate: Authenticate
  log: Log
  /** Of Runwarden. */
  version: string
  /** 0: any that is free. Default 4680. */
  port?: number
  /** Default 127.0.0.1: this machine only. */
  address?: string
  /** Milliseconds since the epoch. */
  now?: () => number
}

export type HttpServer = {
  /** Where clients reach it, without a path. */
  url: string
  port: number
  /** Takes no more requests, completes subscriptions, closes sockets; over within `closeMs`, whatever clients do. */
  close(): Promise<void>
}

/** What clients get to finish in when the server ends. */
const closeMs = 2_000

/** For a whole request with its body, and for its headers. Answers may take as long as they like. */
const requestMs = 30_000
const headersMs = 10_000
/** How often those two are looked at; by Node's standard of 30 s, a client could take 40 s for its headers. */
const checkMs = 2_000

/** Serves the API, its WebSocket and the health checks. @throws PortInUse, CannotListen */
export async function createHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { control, authenticate, log, version, port = 4680, address = '127.0.0.1', now = Date.now } = options
  const graphql = createGraphql(log)
  const operations = createOperations(control, version, now)
  const webSockets = createGraphqlWs({ graphql, operations, authenticate, control, log })

  async function route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    switch (pathOf(request)) {
      case graphqlPath:
        return handleGraphql(request, response, { graphql, operations, authenticate, control })
      case '/livez':
        return allows(response, 'GET', 'HEAD') ? replyLive(response, version) : undefined
      case '/readyz':
        return allows(response, 'GET', 'HEAD') ? replyReady(response, control, log) : undefined
      case '/':
        return allows(response, 'GET', 'HEAD') ? reply(response, 200, 'text/plain', signpost(version)) : undefined
      default:
        return replyError(response, 404, 'NOT_FOUND', `Nothing is here; the API is at ${graphqlPath}.`)
    }
  }

  const server = createServer(
    { requestTimeout: requestMs, headersTimeout: headersMs, connectionsCheckingInterval: checkMs },
    (request, response) => {
      route(request, response).catch((error: unknown) => {
        log.error({ err: error, method: request.method, path: pathOf(request) }, 'a request could not be answered')
        if (response.headersSent) response.destroy()
        else replyError(response, 500, 'INTERNAL_SERVER_ERROR', 'Something went wrong in Runwarden; its log says what.')
      })
    },
  )
  server.on('upgrade', (request, socket, head) => {
    if (server.listening && pathOf(request) === graphqlPath) webSockets.upgrade(request, socket, head)
    else refuseUpgrade(socket, server.listening ? '404 Not Found' : '503 Service Unavailable')
  })

  const bound = await listen(server, port, address)
  server.on('error', (error) => log.error({ err: error }, 'the HTTP server reports an error'))

  async function end(): Promise<void> {
    const over = new Promise<void>((resolve) => void server.close(() => resolve()))
    operations.endAll()
    // Completed subscriptions are told so before their socket is closed.
    await delay(0)
    const everybodyGone = Promise.all([over, webSockets.close()])
    server.closeIdleConnections()
    const patience = new AbortController()
    const late = delay(closeMs, undefined, { signal: patience.signal }).catch(() => {})
    await Promise.race([everybodyGone, late])
    patience.abort()
    webSockets.terminate()
    server.closeAllConnections()
    await everybodyGone
  }

  let ended: Promise<void> | undefined
  return {
    ...bound,
    close() {
      ended ??= end()
      return ended
    },
  }
}

const pathOf = (request: IncomingMessage) => (request.url ?? '/').split('?', 1)[0]

function refuseUpgrade(socket: Duplex, status: string): void {
  socket.on('error', () => socket.destroy())
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}

const signpost = (version: string) => `Runwarden ${version}

GraphQL    ${graphqlPath}   POST, server-sent events, WebSocket; a browser gets GraphiQL
Health     /livez, /readyz

Every operation needs a token: Authorization: Bearer TOKEN (file admin.token of the data directory).
`
