import { createClient } from 'graphql-ws'
import WebSocket from 'ws'

export type GraphqlError = {
  message: string
  path?: (string | number)[]
  extensions?: { code?: string; [key: string]: unknown }
}

// biome-ignore lint/suspicious/noExplicitAny: each test knows the shape of what it asks for
export type Answer<Data = any> = { status: number; headers: Headers; data?: Data | null; errors?: GraphqlError[] }

/**
 * One operation over HTTP.
 * @param url of the server, without a path
 * @param token undefined: none is sent
 */
// biome-ignore lint/suspicious/noExplicitAny: see Answer
export async function graphql<Data = any>(
  url: string,
  token: string | undefined,
  query: string,
  variables: Record<string, unknown> = {},
  signal?: AbortSignal,
): Promise<Answer<Data>> {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token !== undefined && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify({ query, variables }),
    signal: signal ?? null,
  })
  const body = (await response.json()) as Pick<Answer<Data>, 'data' | 'errors'>
  return { status: response.status, headers: response.headers, ...body }
}

/** How a subscription ended: completed by the server, with errors, or with its connection. */
export type SubscriptionEnd =
  | { type: 'complete' }
  | { type: 'errors'; errors: GraphqlError[] }
  | { type: 'closed'; code: number; reason: string }

export type TestSubscription<Data> = {
  /** Everything that has come so far. */
  readonly received: readonly Data[]
  /** The next that nobody has taken yet. @throws when it ends first, or after the timeout */
  next(timeoutMs?: number): Promise<Data>
  /** Takes from the queue until the predicate holds, and answers with what it holds of. */
  until(predicate: (data: Data) => boolean, timeoutMs?: number): Promise<Data>
  /** Its end, by whomever. */
  ended(timeoutMs?: number): Promise<SubscriptionEnd>
  /** Unsubscribes; the connection is closed afterwards. */
  close(): Promise<void>
}

const patienceMs = 5_000

/** A subscription over WebSocket, as a queue: tests wait for what they need, never for a time. */
// biome-ignore lint/suspicious/noExplicitAny: see Answer
export function subscribe<Data = any>(
  url: string,
  token: string | undefined,
  query: string,
  variables: Record<string, unknown> = {},
): TestSubscription<Data> {
  const queue = createQueue<Data>()
  const client = createClient({
    url: `${url.replace(/^http/, 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: token === undefined ? {} : { authorization: `Bearer ${token}` },
    retryAttempts: 0,
    lazyCloseTimeout: 0,
  })
  const unsubscribe = client.subscribe<Data>(
    { query, variables },
    {
      next: ({ data, errors }) => {
        if (errors !== undefined) queue.end({ type: 'errors', errors: errors as unknown as GraphqlError[] })
        else queue.push(data as Data)
      },
      complete: () => queue.end({ type: 'complete' }),
      error: (error) => queue.end(endOf(error)),
    },
  )
  return {
    received: queue.received,
    next: queue.next,
    async until(predicate, timeoutMs = patienceMs) {
      const deadline = Date.now() + timeoutMs
      for (;;) {
        const data = await queue.next(deadline - Date.now())
        if (predicate(data)) return data
      }
    },
    ended: queue.ended,
    async close() {
      unsubscribe()
      await client.dispose()
    },
  }
}

/** graphql-ws gives the operation's errors, or the event with which the socket closed. */
function endOf(error: unknown): SubscriptionEnd {
  if (Array.isArray(error)) return { type: 'errors', errors: error as GraphqlError[] }
  const { code, reason, message } = error as { code?: number; reason?: string; message?: string }
  return { type: 'closed', code: code ?? 0, reason: reason ?? message ?? '' }
}

function createQueue<Data>() {
  const received: Data[] = []
  let taken = 0
  let end: SubscriptionEnd | undefined
  let wake = Promise.withResolvers<void>()
  const changed = () => {
    wake.resolve()
    wake = Promise.withResolvers()
  }

  async function waitFor<Value>(look: () => Value | undefined, what: string, timeoutMs: number): Promise<Value> {
    const late = Promise.withResolvers<never>()
    const explain = () =>
      new Error(`waited ${timeoutMs} ms in vain for ${what}; received: ${JSON.stringify(received).slice(0, 2000)}`)
    const timer = setTimeout(() => late.reject(explain()), Math.max(0, timeoutMs))
    try {
      for (;;) {
        const value = look()
        if (value !== undefined) return value
        await Promise.race([wake.promise, late.promise])
      }
    } finally {
      clearTimeout(timer)
    }
  }

  return {
    received,
    push(data: Data) {
      received.push(data)
      changed()
    },
    end(how: SubscriptionEnd) {
      end ??= how
      changed()
    },
    ended: (timeoutMs = patienceMs) => waitFor(() => end, 'the end of the subscription', timeoutMs),
    async next(timeoutMs = patienceMs): Promise<Data> {
      const look = () => {
        if (taken < received.length) return { data: received[taken++] as Data }
        if (end !== undefined) throw new Error(`the subscription has ended: ${JSON.stringify(end)}`)
        return undefined
      }
      return (await waitFor(look, 'the next of the subscription', timeoutMs)).data
    },
  }
}
