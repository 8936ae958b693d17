/** How long what is written later may be behind. */
const laterMs = 200

/**
 * Writes the newest of many values, at most once in 200 ms and one at a time.
 * @param broken is aborted when a write fails; `failure` then says with what.
 */
export function writeLater(write: (value: number) => Promise<void>, broken: AbortController) {
  let newest: number | undefined
  let timer: NodeJS.Timeout | undefined
  let writing = Promise.resolve()
  let failure: unknown

  async function writeNewest(): Promise<void> {
    timer = undefined
    const value = newest
    newest = undefined
    if (value === undefined || broken.signal.aborted) return
    try {
      await write(value)
    } catch (error) {
      failure = error
      broken.abort()
    }
  }

  return {
    write(value: number): void {
      newest = value
      timer ??= setTimeout(() => {
        writing = writing.then(writeNewest)
      }, laterMs)
    },
    /** Nothing is written any more when this resolves, unless `write` is called again. */
    async cancel(): Promise<void> {
      clearTimeout(timer)
      timer = undefined
      newest = undefined
      await writing
    },
    failure: () => failure,
  }
}
