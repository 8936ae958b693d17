/**
 * Runs `work` with a signal that aborts on the first Ctrl-C (or another of the signals); a second one ends the process
 * at once, as usual.
 */
export async function interruptible<Result>(
  work: (signal: AbortSignal) => Promise<Result>,
  signals: readonly NodeJS.Signals[] = ['SIGINT'],
): Promise<Result> {
  const interrupt = new AbortController()
  const onInterrupt = () => interrupt.abort()
  for (const name of signals) process.once(name, onInterrupt)
  try {
    return await work(interrupt.signal)
  } finally {
    for (const name of signals) process.removeListener(name, onInterrupt)
  }
}
