import { z } from 'zod'

/**
 * Which process is meant. A bare pid is not enough: pids are reused within seconds on a busy machine.
 * Two identities are the same process when all four fields are equal.
 */
export const processIdentitySchema = z.object({
  pid: z.number().int().positive(),
  /** Field 22 of `/proc/<pid>/stat`: clock ticks since boot, as written there. */
  startTime: z.string().regex(/^\d+$/),
  /** `/proc/sys/kernel/random/boot_id`. */
  bootId: z.string(),
  /** Inode of `/proc/self/ns/pid`. */
  pidNamespace: z.string(),
})
export type ProcessIdentity = z.infer<typeof processIdentitySchema>

export function sameProcess(a: ProcessIdentity, b: ProcessIdentity): boolean {
  return a.pid === b.pid && a.startTime === b.startTime && a.bootId === b.bootId && a.pidNamespace === b.pidNamespace
}

/** A string that is equal exactly for the same process. */
export const identityKey = (identity: ProcessIdentity) =>
  `${identity.pid}:${identity.startTime}:${identity.bootId}:${identity.pidNamespace}`
