import { readdirSync, readlinkSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { readStat } from '../../os/process-identity.ts'

export type Occupant = { pid: number; name: string }

/** The longest stretch for which the search keeps the event loop to itself. */
const stretchMs = 5

/** Processes whose working directory is in one of these directories, as far as we may know (other accounts' only as root). */
export function occupantsOf(directories: readonly string[]): Promise<Occupant[]> {
  return findProcesses((pid) => {
    const cwd = workingDirectory(pid)
    return cwd !== undefined && isInAny(cwd, directories)
  })
}

/** Others than this process. */
export async function findProcesses(isWanted: (pid: number) => boolean): Promise<Occupant[]> {
  const occupants: Occupant[] = []
  let stretchEnd = performance.now() + stretchMs
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue
    if (isWanted(Number(name))) occupants.push({ pid: Number(name), name: readStat(Number(name))?.comm ?? '?' })
    if (performance.now() < stretchEnd) continue
    await setImmediate()
    stretchEnd = performance.now() + stretchMs
  }
  return occupants
}

export const isInAny = (path: string, directories: readonly string[]) =>
  directories.some((directory) => path === directory || path.startsWith(`${directory}/`))

export function workingDirectory(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    // Gone, a kernel thread, or another account's: no evidence.
    return undefined
  }
}

export const occupantText = (occupants: readonly Occupant[]) =>
  occupants
    .slice(0, 5)
    .map(({ pid, name }) => `${pid} (${name})`)
    .join(', ') + (occupants.length > 5 ? ` and ${occupants.length - 5} more` : '')
