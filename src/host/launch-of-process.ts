import { readFileSync, readlinkSync } from 'node:fs'
import { type LaunchSpec, launchSpecSchema } from '../domain/launch.ts'
import type { ProcessIdentity } from '../domain/process-identity.ts'
import { isAlive, isGone } from '../os/process-identity.ts'

/**
 * How a process that something else started could be started again: its command line in its directory.
 * @returns undefined where that cannot be read (another account's), or could not be launched (a title set by itself)
 */
export function launchOfProcess(root: ProcessIdentity): LaunchSpec | undefined {
  try {
    const command = readFileSync(`/proc/${root.pid}/cmdline`, 'utf8').split('\0').slice(0, -1)
    const path = readlinkSync(`/proc/${root.pid}/cwd`)
    // Read from a pid: it must have been that process's to the end.
    if (!isAlive(root)) return undefined
    return launchSpecSchema.safeParse({ command, workspace: { kind: 'EXISTING', path } }).data
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (isGone(error) || code === 'EACCES' || code === 'EPERM') return undefined
    throw error
  }
}
