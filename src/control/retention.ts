import { canaryStream } from '../domain/canary-events.ts'
import type { EventStore, Retention } from '../event-store/event-store.ts'
import { delayOrAbort } from './delay.ts'
import type { Log } from './log.ts'

const dayMs = 24 * 3600_000

/** Of the heartbeats of a run that has ended. A run that lives keeps all of them. */
export const standardTelemetryRetention: Retention = { maxAgeMs: 30 * dayMs, maxCount: 10_000 }

/** A month of canaries every 15 minutes; whoever reads them reads the newest few. */
const canaryRetention: Retention = { maxCount: 6_000 }

/** Events are removed days after they were recorded: it does not matter when within the hour. */
const retireEveryMs = 10 * 60_000

/** Removes what is no longer kept, now and every ten minutes, until the signal aborts. @throws StoreUnavailable */
export async function keepRetiring(store: EventStore, log: Log, signal: AbortSignal): Promise<void> {
  await store.setRetention(canaryStream, canaryRetention)
  while (!signal.aborted) {
    const events = await store.retire(signal)
    if (events > 0) log.info({ events }, 'events were removed: retention does not keep them')
    await delayOrAbort(retireEveryMs, signal)
  }
}
