import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { useServer } from 'graphql-ws/use/ws'
import { createSchema, createYoga } from 'graphql-yoga'
import { WebSocketServer } from 'ws'

const typeDefs = readFileSync(join(import.meta.dirname, '../../schema/schema.graphql'), 'utf8')

type Resolver = (args: never) => unknown
export type FakeResolvers = {
  Query?: Record<string, Resolver>
  Mutation?: Record<string, Resolver>
  /** Each gives the values of its field as an async iterable. */
  Subscription?: Record<string, (args: never) => AsyncIterable<unknown>>
}

export type FakeGraphQLServer = {
  url: string
  token: string
  /** Drops every connection, as a server does that is killed. */
  dropConnections(): void
  /** While it says so, whoever comes is dropped without an answer: the server is away. */
  refuse(isAway: () => boolean): void
  /** Settles what `subscriptionsEnd` waits for, once: as a server does that is stopped in order. */
  endSubscriptions(): void
  /** For a subscription that would go on for ever. */
  subscriptionsEnd(): Promise<void>
  close(): Promise<void>
}

/** A server that speaks the committed schema, and whose answers are made up: it knows no store, no host and no run. */
export async function startFakeGraphQLServer(resolvers: FakeResolvers): Promise<FakeGraphQLServer> {
  const token = 'the-token-of-the-test'
  const ofArguments = (fields: Record<string, Resolver> = {}) =>
    Object.fromEntries(
      Object.entries(fields).map(([name, resolve]) => [
        name,
        (_root: unknown, args: unknown) => resolve(args as never),
      ]),
    )
  const schema = createSchema({
    typeDefs,
    resolvers: {
      Query: ofArguments(resolvers.Query),
      Mutation: ofArguments(resolvers.Mutation),
      Subscription: Object.fromEntries(
        Object.entries(resolvers.Subscription ?? {}).map(([name, subscribe]) => [
          name,
          {
            subscribe: (_root: unknown, args: unknown) => subscribe(args as never),
            resolve: (value: unknown) => value,
          },
        ]),
      ),
    },
    resolverValidationOptions: { requireResolversForResolveType: 'ignore' },
  })
  const yoga = createYoga({ schema, logging: false, graphiql: false })
  let isAway = () => false
  const http = createServer((request, response) => {
    if (isAway()) return void request.socket.destroy()
    if (request.headers.authorization === `Bearer ${token}`) return void yoga(request, response)
    response.writeHead(401, { 'content-type': 'application/json' }).end('{"errors":[{"message":"no token"}]}')
  })
  const sockets = new WebSocketServer({ server: http, path: '/graphql' })
  const gateway = useServer(
    { schema, onConnect: ({ connectionParams }) => connectionParams?.authorization === `Bearer ${token}` },
    sockets,
  )
  let subscriptions = Promise.withResolvers<void>()
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    token,
    refuse: (when) => {
      isAway = when
      http.prependListener('upgrade', (_request, socket) => void (isAway() && socket.destroy()))
    },
    dropConnections: () => {
      for (const socket of sockets.clients) socket.terminate()
    },
    endSubscriptions: () => {
      subscriptions.resolve()
      subscriptions = Promise.withResolvers<void>()
    },
    subscriptionsEnd: () => subscriptions.promise,
    close: async () => {
      await gateway.dispose()
      sockets.close()
      http.closeAllConnections()
      http.close()
      await once(http, 'close')
    },
  }
}
