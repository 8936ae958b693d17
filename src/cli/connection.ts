import { CliError, exitCodes } from './exit-codes.ts'
import { type Located, locateServer, type ServerOptions } from './locate.ts'

export type Variables = Record<string, unknown>

/** A server, spoken to in GraphQL. */
export type Connection = {
  readonly url: string
  /** It is, or would be, a server of this machine. */
  readonly isThisMachine: boolean
  /** Something answers there, within a moment; whether the event store is there does not matter. */
  answers(): Promise<boolean>
  /** @param limitMs how long the answer may take. @throws CliError */
  request<Answer>(document: string, variables?: Variables, limits?: RequestLimits): Promise<Answer>
  /**
   * Ends with the subscription, or quietly on abort.
   * @param onConnected the server has taken the connection
   * @throws CliError, `unavailable` when the connection was lost
   */
  subscribe<Answer>(
    document: string,
    variables: Variables,
    signal: AbortSignal,
    onConnected?: () => void,
  ): AsyncIterable<Answer>
}

export type RequestLimits = { signal?: AbortSignal; limitMs?: number }

type GraphQLAnswer<Answer> = { data?: Answer | null; errors?: readonly GraphQLProblem[] }
type GraphQLProblem = { message: string; extensions?: Record<string, unknown> | undefined }

/** Long enough for a busy server, short enough for a person who waits. */
const answerLimitMs = 30_000

export function connect(options: ServerOptions, env: Readonly<Record<string, string | undefined>>): Connection {
  const server = locateServer(options, env)
  return {
    url: server.url,
    isThisMachine: server.isThisMachine,
    answers: () => answers(server.url),
    request: (document, variables = {}, limits = {}) => request(server, document, variables, limits),
    subscribe: (...subscription) => subscribe(server, ...subscription),
  }
}

/** No server of this URL answered: it is not running, does not react, or is not to be reached from here. */
export class ServerUnreachable extends CliError {}

const livenessLimitMs = 5_000

/** Whether something serves there and reacts. @param url without a slash at its end */
export async function answers(url: string): Promise<boolean> {
  try {
    await fetch(`${url}/livez`, { signal: AbortSignal.timeout(livenessLimitMs) })
    return true
  } catch {
    return false
  }
}

async function request<Answer>(
  server: Located,
  document: string,
  variables: Variables,
  { signal, limitMs = answerLimitMs }: RequestLimits,
): Promise<Answer> {
  const limit = AbortSignal.timeout(limitMs)
  const end = signal === undefined ? limit : AbortSignal.any([signal, limit])
  try {
    const response = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json', ...authorization(server) },
      body: JSON.stringify({ query: document, variables }),
      signal: end,
    })
    return dataOf<Answer>(server, response.status, await response.text())
  } catch (error) {
    if (error instanceof CliError) throw error
    if (signal?.aborted) throw new CliError(exitCodes.interrupted, 'Interrupted.', undefined, { cause: error })
    const why = limit.aborted ? `did not answer within ${limitMs / 1000} s` : whyUnreachable(error)
    throw unavailable(server, why, error)
  }
}

const authorization = ({ token }: Located): Record<string, string> =>
  token === undefined ? {} : { authorization: `Bearer ${token}` }

function dataOf<Answer>(server: Located, status: number, body: string): Answer {
  if (status === 401 || status === 403) throw unauthorized(server)
  const answer = parsed<Answer>(body)
  if (answer?.errors !== undefined && answer.errors.length > 0) throw requestFailed(server, answer.errors)
  if (answer?.data != null) return answer.data
  if (status >= 500) throw unavailable(server, `answered HTTP ${status}`)
  throw new CliError(
    exitCodes.failure,
    `${server.url} answered HTTP ${status}, but not in GraphQL.`,
    'Is another program listening there? Name the server with --url or RUNWARDEN_URL.',
  )
}

function parsed<Answer>(body: string): GraphQLAnswer<Answer> | undefined {
  try {
    return JSON.parse(body) as GraphQLAnswer<Answer>
  } catch {
    return undefined
  }
}

const exitCodeOf: Record<string, CliError['exitCode']> = {
  UNAUTHENTICATED: exitCodes.auth,
  UNAUTHORIZED: exitCodes.auth,
  FORBIDDEN: exitCodes.auth,
  STORE_UNAVAILABLE: exitCodes.unavailable,
  BAD_USER_INPUT: exitCodes.usage,
  INVALID_CURSOR: exitCodes.usage,
  RUN_NOT_FOUND: exitCodes.notFound,
}

function requestFailed(server: Located, errors: readonly GraphQLProblem[]): CliError {
  const code = errors.map((error) => String(error.extensions?.code ?? '')).find((known) => known in exitCodeOf)
  const exitCode = exitCodeOf[code ?? ''] ?? exitCodes.failure
  if (exitCode === exitCodes.auth) return unauthorized(server)
  return new CliError(exitCode, errors.map(({ message }) => message).join('\n'))
}

function unauthorized({ url, token, tokenSource }: Located): CliError {
  const message =
    token === undefined
      ? `${url} wants a token, and none was found (looked for it: ${tokenSource}).`
      : `${url} does not accept the token of ${tokenSource}.`
  return new CliError(
    exitCodes.auth,
    message,
    'Use the admin.token of that server’s data directory: --token-file FILE, or RUNWARDEN_TOKEN.',
  )
}

function unavailable({ url }: Located, what: string, cause?: unknown): CliError {
  return new ServerUnreachable(
    exitCodes.unavailable,
    `${url} ${what}: is the server running?`,
    'Start it with `npm start` or `runwarden up`, or name another with --url or RUNWARDEN_URL.',
    { cause },
  )
}

/** fetch says only "fetch failed"; the system's word for it is in the cause. */
function whyUnreachable(error: unknown): string {
  const cause = (error as { cause?: { code?: string; message?: string } }).cause
  if (cause?.code === 'ECONNREFUSED') return 'refuses the connection'
  return `cannot be reached (${cause?.code ?? cause?.message ?? (error as Error).message})`
}

async function* subscribe<Answer>(
  server: Located,
  document: string,
  variables: Variables,
  signal: AbortSignal,
  onConnected: () => void = () => {},
): AsyncGenerator<Answer> {
  if (signal.aborted) return
  // Loaded here: most commands never subscribe, and they start faster without.
  const { createClient } = await import('graphql-ws')
  const client = createClient({
    url: `${server.url.replace(/^http/, 'ws')}/graphql`,
    connectionParams: authorization(server),
    // Whoever subscribes knows the cursor to go on from; a blind retry would begin again.
    retryAttempts: 0,
    on: { connected: onConnected },
  })
  const answers = client.iterate<Answer>({ query: document, variables })
  const stop = () => void answers.return?.()
  signal.addEventListener('abort', stop)
  try {
    for await (const { data, errors } of answers) {
      if (errors !== undefined && errors.length > 0) throw requestFailed(server, errors)
      if (data != null) yield data
    }
  } catch (error) {
    if (signal.aborted) return
    throw subscriptionFailed(server, error)
  } finally {
    signal.removeEventListener('abort', stop)
    await client.dispose()
  }
}

/** graphql-ws throws the errors of the request, or the event with which the socket closed. */
function subscriptionFailed(server: Located, error: unknown): Error {
  if (error instanceof CliError) return error
  if (Array.isArray(error)) return requestFailed(server, error as GraphQLProblem[])
  const code = (error as { code?: unknown }).code
  if (code === 4401 || code === 4403) return unauthorized(server)
  if (error instanceof Error) return error
  return unavailable(server, 'closed the connection', error)
}
