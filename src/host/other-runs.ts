import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { DesiredRun } from '../domain/host-link.ts'
import { type RunId, runIdSchema } from '../domain/ids.ts'
import type { LaunchRecord } from './launch.ts'
import { entryKey, isOfThisMachine } from './process-table.ts'
import { readJson, readSlot, runPaths } from './run-directory.ts'
import { type Owners, recall } from './tree.ts'

/**
 * Says of every run on the disk but one which processes are its own, as far as its files tell, so that nobody takes
 * them for the one's: a host that opens a single run does not watch the others.
 */
export async function claimForOthers(hostDirectory: string, but: RunId, owners: Owners): Promise<void> {
  for (const name of await readdir(join(hostDirectory, 'runs'))) {
    const paths = runPaths(hostDirectory, name)
    if (name === but || !runIdSchema.safeParse(name).success || existsSync(paths.finished)) continue
    const work = (await readJson<DesiredRun>(paths.desired))?.work
    const registered = work?.kind === 'supervise' && isOfThisMachine(work.root) ? [entryKey(work.root)] : []
    const record = await readJson<LaunchRecord>(paths.launch)
    const slots = record !== undefined && isOfThisMachine(record) ? [paths.root, paths.shim] : []
    const launched = slots.flatMap((path) => keyIn(path) ?? [])
    for (const key of [...registered, ...launched, ...recall(paths.strays)]) owners.set(key, name)
  }
}

/** undefined: nothing was written there, or that the launch failed. */
function keyIn(slot: string): string | undefined {
  const [pid, startTime] = readSlot(slot)?.split(' ') ?? []
  return startTime === undefined ? undefined : entryKey({ pid: Number(pid), startTime })
}
