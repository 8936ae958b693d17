import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Control } from '../control/control.ts'
import type { Actor } from '../domain/event.ts'
import { type Authenticate, refusalOf } from './auth.ts'
import { replyGraphiql, wantsGraphiQL } from './graphiql.ts'
import type { Operations } from './operations.ts'
import { allows, replyError } from './reply.ts'
import { type Graphql, graphqlPath, requestBytesMax } from './yoga.ts'

type GraphqlHttp = { graphql: Graphql; operations: Operations; authenticate: Authenticate; control: Control }

/** One request to /graphql: POST or GET, answered at once or as server-sent events; GraphiQL for browsers. */
export async function handleGraphql(
  request: IncomingMessage,
  response: ServerResponse,
  { graphql, operations, authenticate, control }: GraphqlHttp,
): Promise<void> {
  if (!allows(response, 'GET', 'POST')) return
  if (wantsGraphiQL(request)) return replyGraphiql(response)
  const viewer = viewerOf(request, response, authenticate, control)
  if (viewer === undefined || !isUsable(request, response)) return
  const { signal, leave } = operations.enter()
  response.once('close', leave)
  const context = operations.context(viewer, signal)
  response.setHeader('X-Correlation-Id', context.correlationId)
  response.setHeader('X-Content-Type-Options', 'nosniff')
  response.setHeader('X-Frame-Options', 'DENY')
  // A body of unknown size may turn out too large while it comes in; what is left of it then must not be taken for a request.
  if (request.headers['transfer-encoding'] !== undefined) response.setHeader('Connection', 'close')
  await graphql(request, response, context)
}

/** undefined: turned away. */
function viewerOf(
  request: IncomingMessage,
  response: ServerResponse,
  authenticate: Authenticate,
  control: Control,
): Actor | undefined {
  const { authorization } = request.headers
  const viewer = authenticate(authorization)
  if (viewer !== undefined) return viewer
  const why = refusalOf(authorization)
  control.recordRefusedAccess(`${request.method} ${graphqlPath} from ${request.socket.remoteAddress}: ${why}`)
  const message =
    `Not signed in: ${why}. Send the header "Authorization: Bearer TOKEN"; ` +
    'the token is in the file admin.token of the data directory.'
  replyError(response, 401, 'UNAUTHENTICATED', message, { 'WWW-Authenticate': 'Bearer realm="runwarden"' })
  return undefined
}

/** Answers what yoga would turn away without a word, and returns false. */
function isUsable(request: IncomingMessage, response: ServerResponse): boolean {
  if (Number(request.headers['content-length'] ?? 0) > requestBytesMax) {
    const message = `The request is larger than ${requestBytesMax} bytes. Pass long input to a run in a file instead.`
    replyError(response, 413, 'REQUEST_TOO_LARGE', message)
    return false
  }
  const type = request.headers['content-type'] ?? ''
  if (request.method === 'POST' && !/^application\/(graphql\+)?json\s*(;|$)/i.test(type)) {
    const message = `A POST to ${graphqlPath} is JSON: send "Content-Type: application/json" and {"query": "…"}.`
    replyError(response, 415, 'UNSUPPORTED_MEDIA_TYPE', message)
    return false
  }
  // In any case, as media types are; yoga knows them in lower case only.
  request.headers['content-type'] = type.toLowerCase()
  return true
}
