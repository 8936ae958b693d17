import {
  AccessDeniedError,
  AppendConsistencyViolationError,
  CancelledError,
  DeadlineExceededError,
  isCommandError,
  KurrentDBClient,
  MaxAppendSizeExceededError,
  NotLeaderError,
  StreamDeletedError,
  StreamNotFoundError,
  StreamTombstonedError,
  TransactionMaxSizeExceededError,
  UnavailableError,
  UnsupportedError,
  WrongExpectedVersionError,
} from '@kurrent/kurrentdb-client'
import { pause } from '../postgres/retry.ts'
import { StoreAccessDenied, StoreUnavailable } from './event-store.ts'
import { KurrentAddressError, readKurrentAddress } from './kurrentdb-address.ts'

export type KurrentConnection = ReturnType<typeof connectKurrent>

/** A client in use. `gone` aborts when it is given up: what lives longer than a call must go on with the next one. */
export type Live = { client: KurrentDBClient; gone: AbortSignal; deadlineMs: number }

/** Before the second and third try of a read. */
const retryPausesMs = [60, 240]
/** The server keeps the deadline too, and its answer says more than ours. */
const graceMs = 500

/**
 * The connection to KurrentDB: the official client, renewed when it may be stuck. The client makes two connections,
 * one in grpc-js and one in a native addon, and either can be left waiting by a server that is gone: so every call has
 * a deadline of ours, and after one that passed the next call gets a new client.
 *
 * @throws KurrentAddressError
 */
export function connectKurrent(url: string) {
  const { connectionString, deadlineMs, credentials } = readKurrentAddress(url)
  const retired = new Set<Retired>()
  /** Clients that have read from a server. */
  const found = new WeakSet<KurrentDBClient>()
  let closed = false
  let current = open()

  function open(): Live & { end: AbortController } {
    const end = new AbortController()
    return { client: clientOf(connectionString), gone: end.signal, end, deadlineMs }
  }

  /** What others have under way with it may still come to its end. */
  function giveUp(live: Live): void {
    if (live !== current || closed) return
    const old = current
    current = open()
    old.end.abort()
    const timer = setTimeout(() => {
      retired.delete(entry)
      void shut(old.client)
    }, deadlineMs)
    timer.unref()
    const entry: Retired = { client: old.client, timer }
    retired.add(entry)
  }

  function live(): typeof current {
    if (closed) throw new StoreUnavailable('the event store is closed')
    return current
  }

  /**
   * One call, bounded.
   * @throws StoreUnavailable when nothing is known of its outcome, StoreAccessDenied, or what the server decided.
   */
  async function call<Result>(work: (client: KurrentDBClient) => Promise<Result>): Promise<Result> {
    const used = live()
    try {
      return await withDeadline(work(used.client), deadlineMs + graceMs)
    } catch (error) {
      if (mayBeStuck(error)) giveUp(used)
      throw failureOf(error)
    }
  }

  /** A call that changes nothing: tried again when the server was away for a moment, or is the leader no more. */
  async function read<Result>(work: (client: KurrentDBClient) => Promise<Result>): Promise<Result> {
    for (const pauseMs of retryPausesMs) {
      const used = live()
      try {
        return await readOnce(work)
      } catch (error) {
        if (!(error instanceof StoreUnavailable) || error instanceof StoreAccessDenied) throw error
        if (closed || isDeadline(error.cause)) throw error
        // It has tried for long enough by itself.
        if (!found.has(used.client)) throw error
        await pause(pauseMs)
      }
    }
    return readOnce(work)
  }

  /**
   * The native addon (0.2.2) finds its way back to a server that it has read from, but one that has found none at
   * first says so for ever.
   */
  async function readOnce<Result>(work: (client: KurrentDBClient) => Promise<Result>): Promise<Result> {
    const used = live()
    try {
      const result = await call(work)
      found.add(used.client)
      return result
    } catch (error) {
      const { cause } = error as Error
      if (!(cause instanceof UnavailableError)) found.add(used.client)
      if (found.has(used.client)) throw error
      giveUp(used)
      throw unavailable(await whyUnavailable(used.client), cause)
    }
  }

  /** Of the server; null where it does not tell. */
  async function version(): Promise<string | null> {
    const { serverVersion } = await read((client) => (client as unknown as Inner).capabilities)
    return serverVersion === 'unknown' ? null : serverVersion
  }

  async function close(): Promise<void> {
    if (closed) return
    closed = true
    current.end.abort()
    for (const { timer } of retired) clearTimeout(timer)
    await Promise.all([current.client, ...[...retired].map(({ client }) => client)].map(shut))
    retired.clear()
  }

  return { call, read, live, version, close, deadlineMs, asUser: credentials === undefined ? {} : { credentials } }
}

/** What the client has, and does not offer in its types. */
type Inner = { getChannel(): Promise<{ close(): void }>; capabilities: Promise<{ serverVersion: string }> }

type Retired = { client: KurrentDBClient; timer: NodeJS.Timeout }

class CallDeadline extends Error {
  override readonly name = 'CallDeadline'
}

function clientOf(connectionString: string): KurrentDBClient {
  try {
    return KurrentDBClient.connectionString(connectionString)
  } catch (error) {
    // Errors of the client's parser hold the string, and with it the password.
    const file = /certificate/.test((error as Error).message) ? ` (${(error as Error).message})` : ''
    throw new KurrentAddressError(`is refused by the KurrentDB client${file}`)
  }
}

/** The client's own `dispose` ends its streams, but leaves its connection open. */
async function shut(client: KurrentDBClient): Promise<void> {
  await client.dispose()
  // Where it never had a connection it would make one now, and may find no server to make it to.
  const channel = await withDeadline((client as unknown as Inner).getChannel(), graceMs).catch(() => undefined)
  channel?.close()
}

/** The addon does not say why; the other connection does: refused, no such host, an unknown certificate. */
async function whyUnavailable(client: KurrentDBClient): Promise<string> {
  const asked = (client as unknown as Inner).capabilities.then(
    () => 'it went away',
    ({ message }) => message as string,
  )
  return withDeadline(asked, graceMs).catch(() => 'it does not answer')
}

async function withDeadline<Result>(work: Promise<Result>, ms: number): Promise<Result> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new CallDeadline(`no answer within ${ms} ms`)), ms)
  try {
    return await Promise.race([work, promise])
  } finally {
    clearTimeout(timer)
  }
}

const decisions = [
  WrongExpectedVersionError,
  AppendConsistencyViolationError,
  StreamNotFoundError,
  StreamDeletedError,
  StreamTombstonedError,
  MaxAppendSizeExceededError,
  TransactionMaxSizeExceededError,
  UnsupportedError,
]
const isDecision = (error: unknown) => decisions.some((decision) => error instanceof decision)

/** Nothing is to be had of this server now; anything else it has said itself. */
export const isAway = (error: unknown) =>
  isDeadline(error) || error instanceof UnavailableError || error instanceof CancelledError

const isDeadline = (error: unknown) => error instanceof CallDeadline || error instanceof DeadlineExceededError

/** The client renews its own connection after these, and follows the leader that it is told of. */
const heals = [UnavailableError, NotLeaderError, AccessDeniedError, CancelledError]
const mayBeStuck = (error: unknown) => !isDecision(error) && !heals.some((healed) => error instanceof healed)

/** gRPC: INVALID_ARGUMENT, OUT_OF_RANGE, UNIMPLEMENTED. Tried again they would be the same. */
const bugCodes = [3, 11, 12]

export function failureOf(error: unknown): unknown {
  if (isDecision(error) || error instanceof StoreUnavailable) return error
  const { message, code } = error as Error & { code?: number }
  if (error instanceof AccessDeniedError) {
    return new StoreAccessDenied(
      'KurrentDB refuses the user or password of EVENT_STORE_URL, or that user may not read $all and write streams',
      { cause: error },
    )
  }
  // Ours, of what the server sent: no other answer would come of another try.
  if (error instanceof RangeError || error instanceof TypeError || error instanceof SyntaxError) return error
  if (isCommandError(error as Error) && bugCodes.includes(code ?? 0)) return error
  return unavailable(message, error)
}

const unavailable = (why: string, cause: unknown) =>
  new StoreUnavailable(`the event store cannot be reached, or cannot write: ${inPlainWords(why)}`, { cause })

/** gRPC wraps what the socket or TLS said: "14 UNAVAILABLE: No connection established. Last error: Error: …". */
function inPlainWords(why: string): string {
  const text = why.replace(/^.*Last error: (?:Error: )?/s, '').replace(/\.?\s*Resolution note:.*$/s, '')
  const advice = 'EVENT_STORE_URL names the authority of its certificate with ?tlsCAFile=/path/to/ca.crt'
  return /certificate/.test(text) ? `${text.split(';')[0]} (${advice})` : text
}
