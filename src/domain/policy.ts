import { z } from 'zod'

const durationMs = z
  .number()
  .int()
  .min(0)
  .max(7 * 24 * 3600_000)

/** The thresholds of a run. All durations in milliseconds. */
export const policySchema = z.strictObject({
  /** Wait between SIGTERM and SIGKILL. 3 s by default, so that a SIGTERM-ignorer is dead within R11's 5 s. */
  graceMs: durationMs.max(60 * 60_000).default(3_000),
  /** How long after SIGKILL the host looks for proof before it says "not proven". */
  proofDeadlineMs: durationMs
    .min(100)
    .max(10 * 60_000)
    .default(5_000),
  /** R15: until here a run without a turn is NORMAL, and a run whose first turn came by here stays NORMAL. */
  slowAfterMs: durationMs.default(10 * 60_000),
  /** R15: after this, with 0 turns and in initialization, a run is STUCK. */
  stuckAfterMs: durationMs.default(30 * 60_000),
})
export type Policy = z.infer<typeof policySchema>

export const standardPolicy: Policy = policySchema.parse({})
