/** Runs `work` with a signal that aborts on the first Ctrl-C; a second one ends the process at once, as usual. */
export async function interruptible<Result>(work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const interrupt = new AbortController()
  const onInterrupt = () => interrupt.abort()
  process.once('SIGINT', onInterrupt)
  try {
    return await work(interrupt.signal)
  } finally {
    process.removeListener('SIGINT', onInterrupt)
  }
}
