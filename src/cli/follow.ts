import { setTimeout as delay } from 'node:timers/promises'
import { CliError, exitCodes } from './exit-codes.ts'

/** Pauses between attempts: a restart of the server takes about two seconds; after half a minute it is no restart. */
const pausesMs = [200, 500, 1000, 2000, 4000, 5000, 5000, 5000, 5000]
/** Until a subscription that ended too early is tried again; a run that waits for a slot may wait for hours. */
const againMs = 250

export type Followed<Item> = {
  /** Begins after everything that was yielded so far. */
  subscribe(): AsyncIterable<Item>
  /** Nothing new will come. */
  isOver(): Promise<boolean>
  /** The connection was lost; it is tried again. */
  onLost(): void
}

/**
 * A subscription that outlives a restart of the server. That a subscription has ended says little: a server that is
 * stopped in order ends it too, and before its launch a run has no output to follow. So it is begun again, from where
 * it got to, until what is followed is over; then one last look shows what came in between.
 * @throws CliError `unavailable` when the server stayed away
 */
export async function* followAcrossRestarts<Item>(followed: Followed<Item>, signal: AbortSignal): AsyncGenerator<Item> {
  let isOver = false
  let failures = 0
  while (!signal.aborted) {
    try {
      for await (const item of followed.subscribe()) {
        failures = 0
        yield item
      }
      if (isOver || signal.aborted) return
      isOver = await followed.isOver()
      if (!isOver) await delayOrAbort(againMs, signal)
    } catch (error) {
      const pause = pausesMs[failures]
      if (!(error instanceof CliError) || error.exitCode !== exitCodes.unavailable || pause === undefined) throw error
      if (failures === 0) followed.onLost()
      failures += 1
      await delayOrAbort(pause, signal)
    }
  }
}

const delayOrAbort = (ms: number, signal: AbortSignal) => delay(ms, undefined, { signal }).catch(() => {})
