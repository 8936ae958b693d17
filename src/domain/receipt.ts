import { z } from 'zod'
import { openSectionSchema, openSectionsMax } from './critical-section.ts'
import { runIdSchema } from './ids.ts'
import { processIdentitySchema } from './process-identity.ts'

/**
 * How strong a proof this host can give.
 * `cgroup-v2`: the kernel keeps the list of members; nobody leaves it by forking.
 * `process-scan`: `/proc` read until nobody is found; a chain of processes that replace themselves can hide.
 */
export const proofLevelSchema = z.enum(['cgroup-v2', 'process-scan'])
export type ProofLevel = z.infer<typeof proofLevelSchema>

/** By what a process was recognised as a member of the run's tree. */
export const membershipSchema = z.enum(['root', 'cgroup', 'descent', 'session', 'group', 'marker', 'seen'])
export type Membership = z.infer<typeof membershipSchema>

export const signalNameSchema = z.enum(['SIGTERM', 'SIGKILL'])
export type SignalName = z.infer<typeof signalNameSchema>

export const rootExitSchema = z.object({
  /** What a shell's `$?` showed: 0–255, 128 + n after signal n. null: nobody recorded it. */
  status: z.number().int().min(0).max(255).nullable(),
  at: z.iso.datetime(),
})
export type RootExit = z.infer<typeof rootExitSchema>

export const receiptProcessSchema = z.object({
  identity: processIdentitySchema,
  /** Redacted, at most 200 characters. */
  command: z.string().max(200),
  foundBy: z.array(membershipSchema).min(1),
  signals: z.array(z.object({ signal: signalNameSchema, at: z.iso.datetime() })),
  /** First moment at which it was seen to be gone; null while it lives. */
  goneAt: z.iso.datetime().nullable(),
  /** Of a process that lives: its state letter and kernel wait channel. */
  state: z.string().optional(),
  wchan: z.string().optional(),
  /** Dead, but its parent has not yet waited for it (state Z without a live thread, or X). */
  unreaped: z.boolean().optional(),
})
export type ReceiptProcess = z.infer<typeof receiptProcessSchema>

export const receiptCheckSchema = z.object({
  /** Such as `cgroup-empty`, `no-known-identity-alive`, `no-descendant`, `no-session-member`, `no-marker`. */
  name: z.string(),
  /** null: this host cannot make the check. */
  passed: z.boolean().nullable(),
  detail: z.string(),
})
export type ReceiptCheck = z.infer<typeof receiptCheckSchema>

/** The proof that a run's process tree is gone, or (`proven: false`) what stands in its way. */
export const receiptSchema = z.object({
  runId: runIdSchema,
  proven: z.boolean(),
  level: proofLevelSchema,
  /** null: the run ended before a process was launched. */
  root: processIdentitySchema.nullable(),
  rootExit: rootExitSchema.nullable(),
  /** Every process seen since the kill began; at most 1,000, the rest only counted. */
  processes: z.array(receiptProcessSchema).max(1000),
  processCount: z.number().int().nonnegative(),
  checks: z.array(receiptCheckSchema),
  /** Absolute times of the ladder's phases; absent where a phase did not happen. */
  timings: z.object({
    requestedAt: z.iso.datetime(),
    /** From when until when the kill waited for critical sections. */
    deferredAt: z.iso.datetime().optional(),
    deferralEndedAt: z.iso.datetime().optional(),
    sigtermAt: z.iso.datetime().optional(),
    sigkillAt: z.iso.datetime().optional(),
    /** When the last process was seen to be gone. */
    emptyAt: z.iso.datetime().optional(),
    provenAt: z.iso.datetime().optional(),
  }),
  /** What the kill waited for; absent: it did not wait. */
  deferral: z
    .object({
      sections: z.array(openSectionSchema).max(openSectionsMax),
      /** At the latest. */
      until: z.iso.datetime(),
      /** `safe-point`: all sections were left. `limit`: they were not, in time. `stronger-kill`: nobody waited on. */
      endedBy: z.enum(['safe-point', 'limit', 'stronger-kill']),
    })
    .optional(),
  /** What lies outside any proof of this level, in words. */
  notCovered: z.array(z.string()),
})
export type Receipt = z.infer<typeof receiptSchema>

/** Those who were not seen to be gone. */
export const survivorsOf = ({ processes }: Pick<Receipt, 'processes'>) =>
  processes.filter(({ goneAt }) => goneAt === null)

const namedMax = 3

/** For people, such as `pid 4243 (state D in nfs_wait_bit_killable)`; empty where nobody is known to be left. */
export function survivorsText(receipt: Pick<Receipt, 'processes'>): string {
  const survivors = survivorsOf(receipt)
  const named = survivors.slice(0, namedMax).map(({ identity, state, wchan }) => {
    const where = wchan === undefined ? '' : ` in ${wchan}`
    return `pid ${identity.pid}${state === undefined ? '' : ` (state ${state}${where})`}`
  })
  return [...named, ...(survivors.length > namedMax ? [`${survivors.length - namedMax} more`] : [])].join(', ')
}

/** What a proven receipt shows, in a few words for people: no more than its level can. */
export const shownBy = ({ level }: Pick<Receipt, 'level'>) =>
  level === 'cgroup-v2'
    ? 'the receipt proves that no process is left'
    : 'the receipt shows that none is left of the processes that this host can see ("not covered" says which it cannot)'
