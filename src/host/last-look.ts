import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from './clock.ts'
import { readJson } from './run-directory.ts'

/** Kept on the disk for the agent that comes after this one: when runs were last looked at. */
export type LastLook = {
  /** Of the agent before this one; undefined: there was none, or what it left cannot be read. Milliseconds since the epoch. */
  readonly before: number | undefined
  /**
   * All live runs were looked at then. Never throws: a moment that is not kept makes the gap longer, and runs younger.
   */
  keep(at: Date): Promise<void>
}

/** What is older than this is written anew. */
const precisionMs = 2_000

export async function openLastLook(hostDirectory: string, log: Log): Promise<LastLook> {
  const path = join(hostDirectory, 'last-look.json')
  let kept = 0
  let failed = false

  async function keep(at: Date): Promise<void> {
    // A clock that was set back counts too.
    if (Math.abs(at.getTime() - kept) < precisionMs) return
    try {
      // Not forced to the disk: whoever lived then does not outlive the machine.
      await writeFile(`${path}.new`, JSON.stringify({ at: at.toISOString() }), { mode: 0o600 })
      await rename(`${path}.new`, path)
      kept = at.getTime()
      failed = false
    } catch (error) {
      if (!failed) log.warn({ err: error }, 'when runs were last looked at could not be kept on the disk')
      failed = true
    }
  }

  return { before: await readBefore(path, log), keep }
}

async function readBefore(path: string, log: Log): Promise<number | undefined> {
  try {
    const at = Date.parse((await readJson<{ at: string }>(path))?.at ?? '')
    return Number.isNaN(at) ? undefined : at
  } catch (error) {
    log.warn({ err: error }, 'when runs were last looked at is not known: their last facts say it less precisely')
    return undefined
  }
}
