import { randomUUID } from 'node:crypto'
import { type ExecutionResult, GraphQLError, type ParseOptions, parse } from 'graphql'
import { createYoga, handleStreamOrSingleExecutionResult, type Plugin } from 'graphql-yoga'
import type { Context } from '../../schema/builder.ts'
import { presentError } from '../../schema/present-error.ts'
import { schema } from '../../schema/schema.ts'
import type { Log } from '../control/log.ts'
import { refusalOfCost } from './document-cost.ts'

export const graphqlPath = '/graphql'

/** Room for an argv of 1 MiB, so that one which is too long gets its typed answer. In bytes. */
export const requestBytesMax = 1.5 * 1024 * 1024

/**
 * Ends the parsing of documents that no client writes. 4,096 arguments and 500 variables, written into the document
 * itself, are about 7,000 tokens.
 */
const tokensMax = 20_000

/** GraphQL execution, the same for HTTP, server-sent events and WebSocket. */
export function createGraphql(log: Log) {
  return createYoga<Context>({
    schema,
    graphqlEndpoint: graphqlPath,
    // Its page is the same for everybody: graphiql.ts serves it.
    graphiql: false,
    landingPage: false,
    // No other site has business here; its pages could only ask for what they have a token for.
    cors: false,
    multipart: false,
    maxRequestBodySize: requestBytesMax,
    logging: { debug: () => {}, info: () => {}, warn: warnOf(log), error: () => {} },
    plugins: [presentedErrors(log), boundedDocuments, boundedCosts, explainedRefusals],
    // What goes wrong outside of an operation's execution. The log gets it here, once.
    maskedErrors: { maskError: (error) => presentError(error, randomUUID(), log) },
  })
}

export type Graphql = ReturnType<typeof createGraphql>

const warnOf =
  (log: Log) =>
  (...details: unknown[]) =>
    log.warn({ details: details.map(String) }, 'the GraphQL server warns')

/** Errors as clients may see them, under the correlation id of the operation. */
function presentedErrors(log: Log): Plugin<Context> {
  const present =
    ({ correlationId }: Context) =>
    (payload: ResultPayload) => {
      const { result, setResult } = payload
      if (result.errors === undefined) return
      const errors = result.errors.map((error) => presentError(error, correlationId, log))
      // No data at all, not even null: the operation was not begun, because its variables do not fit.
      setResult({ ...result, errors: 'data' in result ? errors : errors.map(asBadRequest) })
    }
  return {
    onExecute: ({ args }) => ({
      onExecuteDone: (payload) => handleStreamOrSingleExecutionResult(payload, present(args.contextValue)),
    }),
    onSubscribe: ({ args }) => ({
      onSubscribeResult: (payload) => handleStreamOrSingleExecutionResult(payload, present(args.contextValue)),
      onSubscribeError: ({ error, setError }) => setError(presentError(error, args.contextValue.correlationId, log)),
    }),
  }
}

type ResultPayload = { result: ExecutionResult; setResult(result: ExecutionResult): void }

const asBadRequest = ({ message, nodes, source, positions, path, extensions }: GraphQLError) =>
  new GraphQLError(message, {
    nodes,
    source,
    positions,
    path,
    extensions: { ...badRequest('BAD_USER_INPUT'), ...extensions },
  })

/** Parses as graphql-js does, within bounds; what lies beyond them is an error of the document. */
const boundedDocuments: Plugin = {
  onParse: ({ setParseFn }) =>
    setParseFn((source: string, options: ParseOptions) => {
      try {
        return parse(source, { ...options, maxTokens: tokensMax })
      } catch (error) {
        if (!(error instanceof RangeError)) throw error
        throw new GraphQLError('The document is nested too deeply.', { extensions: badRequest('GRAPHQL_PARSE_FAILED') })
      }
    }),
}

/** Refuses what would keep the store from everybody else. */
const boundedCosts: Plugin<Context> = {
  onExecute: ({ args, setResultAndStopExecution }) => {
    const refusal = refusalOfCost(args)
    if (refusal !== undefined) setResultAndStopExecution({ errors: [refusal] })
  },
  onSubscribe: ({ args, setResultAndStopExecution }) => {
    const refusal = refusalOfCost(args)
    if (refusal !== undefined) setResultAndStopExecution({ errors: [refusal] })
  },
}

/** `http` is for yoga, which takes it out of the answer. */
const badRequest = (code: string) => ({ code, http: { status: 400, spec: true } })

/** yoga's own answer has no word of why. */
const explainedRefusals: Plugin = {
  onResponse: ({ response, setResponse, fetchAPI }) => {
    if (response.status !== 406) return
    const message =
      'Nothing that the client accepts can be sent. Accept "application/json"; for a subscription "text/event-stream".'
    const body = JSON.stringify({ errors: [{ message, extensions: { code: 'NOT_ACCEPTABLE' } }] })
    setResponse(new fetchAPI.Response(body, { status: 406, headers: { 'Content-Type': 'application/json' } }))
  },
}
