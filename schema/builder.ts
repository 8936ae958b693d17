import SchemaBuilder from '@pothos/core'
import RelayPlugin from '@pothos/plugin-relay'
import ScopeAuthPlugin from '@pothos/plugin-scope-auth'
import { GraphQLError } from 'graphql'
import { z } from 'zod'
import type { Control, RequestContext } from '../src/control/control.ts'
import type { Actor } from '../src/domain/event.ts'
import { denyByDefault } from './deny-by-default.ts'

/** What one operation knows: who asks, and how to know that nobody waits for the answer any more. */
export type Context = {
  control: Control
  /** null: nobody who may be served. */
  viewer: Actor | null
  /** Of this operation: on everything that it records, and in the server's log. */
  correlationId: string
  /** Aborts when the client has gone or the server ends. */
  signal: AbortSignal
  /** Milliseconds since the epoch. */
  now: () => number
  /** Of Runwarden. */
  version: string
}

export const builder = new SchemaBuilder<{
  Context: Context
  DefaultFieldNullability: false
  AuthScopes: { authenticated: boolean }
  Scalars: {
    ID: { Input: string; Output: string }
    DateTime: { Input: string; Output: string }
    JSON: { Input: unknown; Output: unknown }
  }
}>({
  plugins: [denyByDefault, ScopeAuthPlugin, RelayPlugin],
  defaultFieldNullability: false,
  scopeAuth: {
    authScopes: ({ viewer }) => ({ authenticated: viewer !== null }),
    // Once per object instead of once per field.
    runScopesOnType: true,
    authorizeOnSubscribe: true,
    unauthorizedError: () =>
      new GraphQLError('Not signed in: send the header "Authorization: Bearer TOKEN".', {
        extensions: { code: 'UNAUTHENTICATED' },
      }),
  },
  relay: {
    // A run id is unique everywhere and says what it is: people copy it from logs, so it is not wrapped in base64.
    encodeGlobalID: (_typename, id) => String(id),
    decodeGlobalID: (id) => ({ typename: 'Run', id }),
    nodeQueryOptions: {
      nullable: true,
      args: { id: { description: 'Its id.' } },
      description: 'Any object by its id; today these are runs. null: there is none of that id.',
    },
    nodesQueryOptions: false,
    nodeTypeOptions: { description: 'Something with an id of its own.' },
    idFieldOptions: { description: 'Its id.' },
    pageInfoTypeOptions: { description: 'Where a page of a list stands in it.' },
    pageInfoFieldOptions: { description: 'Where this page stands in the list.' },
    hasNextPageFieldOptions: { description: 'More comes after this page.' },
    hasPreviousPageFieldOptions: { description: 'Something came before this page.' },
    startCursorFieldOptions: { description: 'Cursor of the first of this page; null: the page is empty.' },
    endCursorFieldOptions: {
      description: 'Cursor of the last of this page, to be passed as `after`; null: the page is empty.',
    },
    nodeFieldOptions: { description: 'What stands here in the list.' },
    cursorFieldOptions: { description: 'Its place in the list, to be passed as `after`.' },
  },
})

/** Who asks, in the form that control takes. Only for fields behind the default authorisation, which every field is. */
export function requester({ viewer, correlationId }: Context): RequestContext {
  if (viewer === null) throw new Error('an operation without a viewer got past authorisation')
  return { actor: viewer, correlationId }
}

builder.scalarType('DateTime', {
  description: 'A moment in ISO 8601, UTC, with milliseconds: `2026-11-21T03:14:15.926Z`.',
  serialize: (value) => new Date(value).toISOString(),
  parseValue: (value) => {
    const parsed = z.iso.datetime({ offset: true }).safeParse(value)
    if (!parsed.success)
      throw new GraphQLError('A DateTime is an ISO 8601 string with its zone, such as 2026-11-21T03:14:15Z.')
    return new Date(parsed.data).toISOString()
  },
})

builder.scalarType('JSON', {
  description: 'Any JSON value.',
  serialize: (value) => value,
  parseValue: (value) => value,
})

builder.queryType({ description: 'Everything that can be read. Nothing without a valid token.' })
builder.mutationType({
  description:
    'Everything that can be done. Each attempt is recorded with its outcome. Each answers with a union: its answer, or a typed failure with a message for people.',
})
builder.subscriptionType({
  description: 'What happens, as it happens; over WebSocket (graphql-transport-ws) or server-sent events.',
})
