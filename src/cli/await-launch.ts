import { setTimeout as delay } from 'node:timers/promises'
import type { RunDetails } from './answers.ts'
import type { Connection } from './connection.ts'
import { fetchRun } from './fetch-run.ts'

/**
 * A launch that cannot succeed (no such directory, no such program) is known within some 30 ms. A run that waits for its
 * slot may wait for hours: nobody is held up for that.
 */
const launchWaitMs = 500
const pollMs = 25

/** The run once it was launched, or could not be, or has waited for that long enough. */
export async function awaitLaunch(server: Connection, started: RunDetails): Promise<RunDetails> {
  const deadline = performance.now() + launchWaitMs
  let run = started
  while (run.status === 'REQUESTED' && performance.now() < deadline) {
    await delay(pollMs)
    run = await fetchRun(server, started.id)
  }
  return run
}

export const couldNotBeLaunched = ({ failure }: RunDetails) => failure?.reason === 'LAUNCH_FAILED'
