import { GraphQLError } from 'graphql'
import type { Log } from '../src/control/log.ts'
import { InvalidCursor } from '../src/control/queries/page.ts'
import { StoreUnavailable } from '../src/event-store/event-store.ts'

/**
 * What a client may see of an error. Errors made for clients stay; what nobody foresaw is logged with its cause, and the
 * client gets the correlation id under which the log has it.
 */
export function presentError(error: unknown, correlationId: string, log: Log): GraphQLError {
  const cause = causeOf(error)
  // The outer message also says where: `Variable "$input" has invalid value at .force: …`.
  if (cause instanceof GraphQLError) return located(error, (error as Error).message, cause.extensions)
  if (cause instanceof InvalidCursor) return located(error, cause.message, { code: 'BAD_USER_INPUT' })
  if (cause instanceof StoreUnavailable) {
    log.warn({ err: cause, correlationId }, 'the event store is away: a read was refused')
    return located(error, 'The event store cannot be reached. Runwarden reconnects by itself: try again in a moment.', {
      code: 'STORE_UNAVAILABLE',
    })
  }
  log.error({ err: cause, correlationId }, 'unexpected error in a GraphQL operation')
  return located(error, `Something went wrong in Runwarden. Its log has the cause under ${correlationId}.`, {
    code: 'INTERNAL_SERVER_ERROR',
    correlationId,
  })
}

/** The executor wraps what a resolver threw, to add where in the document it happened. */
function causeOf(error: unknown): unknown {
  if (!(error instanceof GraphQLError)) return error
  const inner = error.originalError ?? error.cause
  return inner === undefined || inner === error ? error : causeOf(inner)
}

function located(error: unknown, message: string, extensions: GraphQLError['extensions']): GraphQLError {
  if (!(error instanceof GraphQLError)) return new GraphQLError(message, { extensions })
  const { nodes, source, positions, path } = error
  return new GraphQLError(message, { nodes, source, positions, path, extensions })
}
