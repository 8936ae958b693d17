import { StoreUnavailable } from '../event-store/event-store.ts'
import { delayOrAbort } from './delay.ts'
import type { Log } from './log.ts'

const pauseMs = { shortest: 100, longest: 10_000 }

/**
 * Runs a loop until the signal aborts. It should end only then; when it breaks (an outage, or a bug) it is begun again
 * after a pause of 100 ms to 10 s, because a control plane that has silently stopped listening is the worst kind.
 */
export async function keepRunning(
  name: string,
  loop: () => Promise<void>,
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  let pause = pauseMs.shortest
  while (!signal.aborted) {
    const begun = performance.now()
    try {
      await loop()
    } catch (error) {
      if (signal.aborted) return
      if (error instanceof StoreUnavailable) log.warn({ err: error }, `${name}: the event store is away; trying again`)
      else log.error({ err: error }, `${name} broke; beginning again`)
    }
    // It had worked: what broke it now is not what broke it then.
    if (performance.now() - begun > pauseMs.longest) pause = pauseMs.shortest
    await delayOrAbort(pause, signal)
    pause = Math.min(pause * 2, pauseMs.longest)
  }
}
