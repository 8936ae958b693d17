import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type ExecutionArgs, GraphQLError, type GraphQLFormattedError } from 'graphql'
import { CloseCode, type Context as Connection } from 'graphql-ws'
import { useServer } from 'graphql-ws/use/ws'
import { type WebSocket, WebSocketServer } from 'ws'
import { presentError } from '../../schema/present-error.ts'
import type { Control } from '../control/control.ts'
import type { Log } from '../control/log.ts'
import type { Actor } from '../domain/event.ts'
import { type Authenticate, refusalOf } from './auth.ts'
import type { Operations } from './operations.ts'
import { type Graphql, graphqlPath, requestBytesMax } from './yoga.ts'

type GraphqlWsDeps = {
  graphql: Graphql
  operations: Operations
  authenticate: Authenticate
  control: Control
  log: Log
}

/** Between opening a socket and its `connection_init`. */
const initMs = 5_000
/** A client that answers no ping for this long is taken for gone, and its subscriptions end. */
const pingMs = 12_000
const subscriptionsMax = 1_000

type Client = { socket: WebSocket; request: IncomingMessage; viewer?: Actor; end?: ReturnType<Operations['enter']> }

/** GraphQL over WebSocket, subprotocol graphql-transport-ws. Sends wait for the socket, so a slow reader slows its source. */
export function createGraphqlWs({ graphql, operations, authenticate, control, log }: GraphqlWsDeps) {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: requestBytesMax })
  const server = useServer<{ authorization?: unknown }, Partial<Client>>(
    {
      connectionInitWaitTimeout: initMs,
      onConnect: ({ connectionParams, extra }) => {
        const authorization = connectionParams?.authorization
        const viewer = authenticate(authorization)
        if (viewer === undefined) return turnAway(extra, authorization)
        extra.viewer = viewer
        extra.end = operations.enter()
        return true
      },
      onSubscribe: (connection, _id, payload) => executionOf(connection, payload),
      execute: (args) => rootOf(args).execute(args),
      subscribe: (args) => rootOf(args).subscribe(args),
      onNext: (_connection, _id, _payload, _args, result) =>
        result.errors && { ...result, errors: result.errors.map(shown) },
      onError: (_connection, _id, _payload, errors) => errors.map(shown),
      onClose: ({ extra }) => extra.end?.leave(),
    },
    sockets,
    pingMs,
  )

  function turnAway({ socket, request }: Partial<Client>, authorization: unknown): false {
    const why = refusalOf(authorization)
    control.recordRefusedAccess(`WebSocket ${graphqlPath} from ${request?.socket.remoteAddress}: ${why}`)
    // 4401 tells clients that trying again is of no use; graphql-ws's own 4403 would have them retry.
    socket?.close(CloseCode.Unauthorized, `Unauthorized: ${why}; connectionParams.authorization is "Bearer TOKEN"`)
    return false
  }

  async function executionOf(
    { extra, subscriptions }: Connection<{ authorization?: unknown }, Partial<Client>>,
    payload: { query: string; operationName?: string | null; variables?: Record<string, unknown> | null },
  ): Promise<ExecutionArgs | GraphQLError[]> {
    if (extra.viewer === undefined || extra.end === undefined)
      throw new Error('an operation on a socket without a viewer')
    if (Object.keys(subscriptions).length > subscriptionsMax) {
      const message = `This connection has ${subscriptionsMax} operations under way. End some, or open another.`
      return [new GraphQLError(message, { extensions: { code: 'TOO_MANY_OPERATIONS' } })]
    }
    const context = operations.context(extra.viewer, extra.end.signal)
    const { schema, parse, validate, contextFactory, execute, subscribe } = graphql.getEnveloped({
      ...context,
      params: payload,
    })
    try {
      const document = parse(payload.query)
      const errors = validate(schema, document)
      if (errors.length > 0) return [...errors]
      return {
        schema,
        document,
        operationName: payload.operationName,
        variableValues: payload.variables,
        contextValue: await contextFactory(),
        rootValue: { execute, subscribe },
      }
    } catch (error) {
      // A document that cannot be parsed is its author's affair: it must not cost the connection.
      return [presentError(error, context.correlationId, log)]
    }
  }

  return {
    upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
      sockets.handleUpgrade(request, socket, head, (client) => {
        sockets.emit('connection', client, request)
        // In place of graphql-ws's listener: that one prints a stack for whatever a client breaks, and a second error
        // would find no listener and end the process. ws itself closes the socket, with the right code.
        client.removeAllListeners('error')
        client.on('error', (error) => log.info({ err: error }, 'a WebSocket client broke the protocol'))
      })
    },
    /** Asks every client to go (1001) and waits until they have. */
    close: async (): Promise<void> => server.dispose(),
    terminate(): void {
      for (const client of sockets.clients) client.terminate()
    },
  }
}

type Enveloped = ReturnType<Graphql['getEnveloped']>
const rootOf = ({ rootValue }: ExecutionArgs) => rootValue as Pick<Enveloped, 'execute' | 'subscribe'>

/** graphql-ws wraps what a subscription threw; inside is the error as clients may see it. `http` is for yoga alone. */
function shown(error: GraphQLError): GraphQLFormattedError {
  const { extensions, ...rest } = (error.cause instanceof GraphQLError ? error.cause : error).toJSON()
  const { http: _http, ...own } = extensions ?? {}
  return { ...rest, extensions: own }
}
