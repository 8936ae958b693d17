import type { IncomingMessage, ServerResponse } from 'node:http'
import { type GraphiQLOptions, shouldRenderGraphiQL } from 'graphql-yoga'
import { safeHeaders } from './reply.ts'

const options: GraphiQLOptions = {
  title: 'Runwarden',
  headers: JSON.stringify({ Authorization: 'Bearer PASTE-THE-TOKEN-OF-admin.token-HERE' }, null, 2),
  // An admin token does not belong into a browser's storage.
  shouldPersistHeaders: false,
  // The same header then serves subscriptions too.
  subscriptionsProtocol: 'SSE',
  defaultQuery:
    '{\n  runs(first: 10) {\n    edges {\n      node {\n        id\n        workflow\n        status\n        pid\n      }\n    }\n  }\n}\n',
}

/** By the rule of yoga, which needs no more of a request. */
export const wantsGraphiQL = ({ method, headers }: IncomingMessage): boolean =>
  shouldRenderGraphiQL({ method, headers: new Headers({ accept: headers.accept ?? '' }) } as Request)

let page: Promise<Buffer> | undefined

/**
 * The page for browsers; it holds no data and executes nothing, so that it needs no token.
 *
 * It holds 9 MB of scripts, so that a browser gets none from elsewhere: it is rendered when somebody first wants it, and
 * kept as the bytes that all clients are sent. Through yoga, which makes and encodes it for each, a hundred clients
 * without a token took 2.9 GB and held the server up for 21 s.
 */
export async function replyGraphiql(response: ServerResponse): Promise<void> {
  page ??= render()
  const body = await page
  response.writeHead(200, {
    ...safeHeaders,
    'Content-Type': 'text/html; charset=utf-8',
    'Content-Length': body.byteLength,
  })
  response.end(body)
}

async function render(): Promise<Buffer> {
  const { renderGraphiQL } = await import('@graphql-yoga/render-graphiql')
  return Buffer.from(renderGraphiQL(options))
}
