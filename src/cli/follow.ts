import { setTimeout as delay } from 'node:timers/promises'
import { CliError, exitCodes } from './exit-codes.ts'

/** Pauses between attempts: a restart of the server takes about two seconds; after half a minute it is no restart. */
const pausesMs = [200, 500, 1000, 2000, 4000, 5000, 5000, 5000, 5000]

/**
 * A subscription that outlives a restart of the server: when the connection is lost it subscribes again, from where it
 * got to. Ends when the subscription ends, or on abort.
 * @param subscribe begins after everything that was yielded so far
 * @throws CliError `unavailable` when the server stayed away
 */
export async function* followAcrossRestarts<Item>(
  subscribe: () => AsyncIterable<Item>,
  signal: AbortSignal,
  onLost: () => void,
): AsyncGenerator<Item> {
  let failures = 0
  for (;;) {
    try {
      for await (const item of subscribe()) {
        failures = 0
        yield item
      }
      return
    } catch (error) {
      const pause = pausesMs[failures]
      if (!(error instanceof CliError) || error.exitCode !== exitCodes.unavailable || pause === undefined) throw error
      if (failures === 0) onLost()
      failures += 1
      await delay(pause, undefined, { signal }).catch(() => {})
      if (signal.aborted) return
    }
  }
}
