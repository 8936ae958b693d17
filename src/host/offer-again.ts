import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { DesiredRun } from '../domain/host-link.ts'
import { type RunId, runIdSchema } from '../domain/ids.ts'
import { isGone } from '../os/process-identity.ts'
import { readJson, runPaths, writeAtomically } from './run-directory.ts'

/**
 * Makes the host of a directory, which is not running, tell all that it knows of some runs once more when it starts: the
 * store that it goes on with may lack what the one before was told. What a store has it passes over, by the facts'
 * numbers.
 * @param lacks whether the store may lack something of this run
 */
export async function offerAgain(hostDirectory: string, lacks: (runId: RunId) => Promise<boolean>): Promise<void> {
  for (const name of await namesIn(join(hostDirectory, 'runs'))) {
    if (!runIdSchema.safeParse(name).success || !(await lacks(name))) continue
    const paths = runPaths(hostDirectory, name)
    const desired = await readJson<DesiredRun>(paths.desired)
    if (desired !== undefined) await writeAtomically(paths.desired, JSON.stringify({ ...desired, factSequence: 0 }))
    await rm(paths.acknowledged, { force: true })
    await rm(paths.finished, { force: true })
  }
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (isGone(error)) return []
    throw error
  }
}
