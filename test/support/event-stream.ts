export type EventStream = {
  status: number
  /** The next event that is none of the pings. @throws when the stream ends first */
  next(): Promise<{ event: string; data: unknown }>
  /** The rest of it is not read: the client goes away. */
  leave(): void
}

/** A GraphQL operation as server-sent events, read by hand with fetch. */
export async function eventStream(
  url: string,
  token: string | undefined,
  query: string,
  variables: Record<string, unknown> = {},
): Promise<EventStream> {
  const client = new AbortController()
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'text/event-stream',
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({ query, variables }),
    signal: client.signal,
  })
  const events = eventsOf(response)
  return {
    status: response.status,
    async next() {
      const { value, done } = await events.next()
      if (done) throw new Error('the event stream has ended')
      return value
    },
    leave: () => client.abort(),
  }
}

async function* eventsOf(response: Response) {
  let text = ''
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk
    const blocks = text.split('\n\n')
    text = blocks.pop() ?? ''
    for (const block of blocks) {
      const event = /^event: (.*)$/m.exec(block)?.[1]
      const data = /^data: ?(.*)$/m.exec(block)?.[1]
      if (event !== undefined) yield { event, data: data ? (JSON.parse(data) as unknown) : undefined }
    }
  }
}
