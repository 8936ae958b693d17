/**
 * A live source as a subscription takes it: it ends as soon as the client stops listening or goes away.
 *
 * Not an async generator of its own, because `return()` of a generator waits for the `next()` under way, and that one
 * waits for an event which may never come. Here `return()` aborts the source first, and thereby ends its `next()`.
 * @param client aborts when the client has gone or the server ends.
 */
export function follow<Item>(
  client: AbortSignal,
  open: (signal: AbortSignal) => AsyncIterable<Item>,
): AsyncIterableIterator<Item, undefined> {
  const over = new AbortController()
  const end = () => over.abort()
  client.addEventListener('abort', end, { once: true })
  if (client.aborted) end()
  const source = open(over.signal)[Symbol.asyncIterator]()

  const close = async (): Promise<IteratorReturnResult<undefined>> => {
    client.removeEventListener('abort', end)
    end()
    await source.return?.()
    return { done: true, value: undefined }
  }

  return {
    async next() {
      try {
        const result = await source.next()
        return result.done ? await close() : result
      } catch (error) {
        const wasAborted = over.signal.aborted
        await close()
        if (wasAborted) return { done: true, value: undefined }
        throw error
      }
    },
    return: close,
    async throw(error) {
      await close()
      throw error
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
