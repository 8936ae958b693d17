import { setTimeout as delay } from 'node:timers/promises'

/** Resolves after about `ms` (between half of it and all of it, so that processes do not act in step), or on abort. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  const jittered = ms * (0.5 + Math.random() / 2)
  // The only way this rejects is the abort.
  await delay(jittered, undefined, { signal }).catch(() => {})
}

/** 50, 100, 200 … at most 5,000 ms: how long to wait after so many failures in a row. */
export const backoffMs = (failures: number) => Math.min(5_000, 50 * 2 ** (failures - 1))
