import { z } from 'zod'
import type { Policy } from './policy.ts'

/** What a run must not be cut off in: R7. */
export const sectionKinds = ['git_operations', 'database_transactions', 'file_operations', 'api_calls'] as const
export const sectionKindSchema = z.enum(sectionKinds)
export type SectionKind = z.infer<typeof sectionKindSchema>

/** `DECLARED`: the run said so in its progress file. `OBSERVED`: its host saw what its processes do. */
export const sectionSources = ['DECLARED', 'OBSERVED'] as const
export type SectionSource = (typeof sectionSources)[number]

/** The run's own name for a section, for as long as it is open. */
export const sectionIdSchema = z.string().min(1).max(100)

/** A critical section that somebody is in. */
export const openSectionSchema = z.object({
  kind: sectionKindSchema,
  source: z.enum(sectionSources),
  since: z.iso.datetime(),
  /** For people: which one it is. */
  detail: z.string().max(200),
  /** How long it takes, by the run's own account; nothing is decided by it. */
  expectedMs: z.number().nonnegative().optional(),
})
export type OpenSection = z.infer<typeof openSectionSchema>

/** So many open sections are known of a run at most: in its state, in an event, in a receipt. */
export const openSectionsMax = 100

const limitMs = z.number().int().nonnegative()
/** How long a graceful kill waits for a section of each kind, counted from when the kill was requested. 0: not at all. */
export const sectionLimitsSchema = z.object({
  git_operations: limitMs,
  database_transactions: limitMs,
  file_operations: limitMs,
  api_calls: limitMs,
})
export type SectionLimits = z.infer<typeof sectionLimitsSchema>

/** The limits of a policy, none of them beyond the limit for all. */
export function sectionLimitsOf(policy: Policy): SectionLimits {
  const within = (ms: number) => Math.min(ms, policy.deferLimitMs)
  return {
    git_operations: within(policy.gitOperationsLimitMs),
    database_transactions: within(policy.databaseTransactionsLimitMs),
    file_operations: within(policy.fileOperationsLimitMs),
    api_calls: within(policy.apiCallsLimitMs),
  }
}

/**
 * Until when a kill waits for these sections. Counted from the request, whenever a section was entered: a run that
 * enters one after the other cannot put its end off any further.
 * @param requestedAt of the kill, ISO 8601
 * @param now milliseconds since the epoch
 * @returns ISO 8601; undefined: there is nothing to wait for (any more)
 */
export function deferredUntil(
  sections: readonly Pick<OpenSection, 'kind'>[],
  limits: SectionLimits,
  requestedAt: string,
  now: number,
): string | undefined {
  const longest = Math.max(0, ...sections.map(({ kind }) => limits[kind]))
  const until = Date.parse(requestedAt) + longest
  return until > now ? new Date(until).toISOString() : undefined
}

/** Such as `a git operation (git push, pid 4711)`; at most three are named. */
export function sectionsText(sections: readonly Pick<OpenSection, 'kind' | 'detail'>[]): string {
  const named = sections.slice(0, 3).map(({ kind, detail }) => `${nameOfKind[kind]} (${detail})`)
  const rest = sections.length - named.length
  return [...named, ...(rest > 0 ? [`${rest} more`] : [])].join(', ')
}

const nameOfKind: Record<SectionKind, string> = {
  git_operations: 'a git operation',
  database_transactions: 'a database transaction',
  file_operations: 'a file operation',
  api_calls: 'an API call',
}
