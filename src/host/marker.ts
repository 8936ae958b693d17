import type { HostId } from '../domain/ids.ts'
import type { ProcessStat } from '../os/process-identity.ts'
import { readKernelFile } from '../os/read-kernel-file.ts'

export const markerVariable = 'RUNWARDEN_RUN_ID'

/**
 * Says whose run it is: two Runwardens on one machine give the same id to what was asked of both with the same
 * idempotency key, and neither may touch the other's.
 */
export const hostVariable = 'RUNWARDEN_HOST_ID'

/** RUNWARDEN_RUN_ID of its environment; null: none, or another host's, or not ours to read. */
export function readMarker({ pid }: Pick<ProcessStat, 'pid'>, hostId?: HostId): string | null {
  try {
    const environment = readKernelFile(`/proc/${pid}/environ`)
    const variable = (name: string) => new RegExp(`(?:^|\\0)${name}=([^\\0]*)`).exec(environment)?.[1]
    const host = variable(hostVariable)
    const isAnothers = hostId !== undefined && host !== undefined && host !== hostId
    return isAnothers ? null : (variable(markerVariable) ?? null)
  } catch {
    // Another account's (EACCES), or gone by now: no evidence either way.
    return null
  }
}
