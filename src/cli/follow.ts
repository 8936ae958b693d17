import { setTimeout as delay } from 'node:timers/promises'
import { CliError, exitCodes } from './exit-codes.ts'

/** Pauses between attempts: a restart of the server takes about two seconds; after half a minute it is no restart. */
const pausesMs = [200, 500, 1000, 2000, 4000, 5000, 5000, 5000, 5000]
/** Until a subscription that ended too early is tried again; a run that waits for a slot may wait for hours. */
const againMs = 250

export type Followed<Item> = {
  /** Begins after everything that was yielded so far. @param onConnected to be called once the server is there */
  subscribe(onConnected: () => void): AsyncIterable<Item>
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
export async function* followAcrossRestarts<Item>(
  followed: Followed<Item>,
  signal: AbortSignal,
  pause: (ms: number, signal: AbortSignal) => Promise<void> = delayOrAbort,
): AsyncGenerator<Item> {
  let isOver = false
  let failures = 0
  while (!signal.aborted) {
    try {
      yield* followed.subscribe(() => {
        failures = 0
      })
      if (isOver || signal.aborted) return
      isOver = await followed.isOver()
      if (!isOver) await pause(againMs, signal)
    } catch (error) {
      const pauseMs = pausesMs[failures]
      if (!(error instanceof CliError) || error.exitCode !== exitCodes.unavailable || pauseMs === undefined) throw error
      if (failures === 0) followed.onLost()
      failures += 1
      await pause(pauseMs, signal)
    }
  }
}

async function delayOrAbort(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {})
}
