import { z } from 'zod'
import { duration } from './duration.ts'

const minutes = 60_000
const hours = 60 * minutes

/** A bounded whole number of milliseconds; the messages say the bound as people would. */
function durationMs({ min = 0, max, maxText }: { min?: number; max: number; maxText: string }) {
  return z
    .number('is no number of milliseconds')
    .int('is no whole number of milliseconds')
    .min(min, min === 0 ? 'is negative' : `is shorter than ${min} ms`)
    .max(max, `is longer than ${maxText}`)
}

/** More milliseconds than 24 days are no GraphQL Int. */
const aboutTheRun = durationMs({ min: 1, max: 14 * 24 * hours, maxText: '14 days' })

export const policyPresets = ['standard', 'strict'] as const
export type PolicyPreset = (typeof policyPresets)[number]

/** What the monitor does when a limit is passed. */
export const timeoutActions = ['alert', 'kill'] as const
export type TimeoutAction = (typeof timeoutActions)[number]

/** 0: not at all. */
const deferral = durationMs({ max: 10 * minutes, maxText: '10 minutes' })

const thresholds = {
  /** Wait between SIGTERM and SIGKILL. 3 s by default, so that a SIGTERM-ignorer is dead within R11's 5 s. */
  graceMs: durationMs({ max: hours, maxText: '1 hour' }),
  /** How long after SIGKILL the host looks for proof before it says "not proven". */
  proofDeadlineMs: durationMs({ min: 100, max: 10 * minutes, maxText: '10 minutes' }),
  /** R7: no graceful kill waits longer than this for critical sections, whatever is allowed to them below. */
  deferLimitMs: deferral,
  /** R7: so long a graceful kill waits for a critical section of this kind, counted from when it was requested. */
  gitOperationsLimitMs: deferral,
  databaseTransactionsLimitMs: deferral,
  fileOperationsLimitMs: deferral,
  apiCallsLimitMs: deferral,
  /** R15: until here a run without a turn is NORMAL, and a run whose first turn came by here stays NORMAL. */
  slowAfterMs: aboutTheRun,
  /** R16: after this, with 0 turns and in initialization, an alert warns. */
  initializationWarningMs: aboutTheRun,
  /** R15, R16, the initialization timeout: after this, with 0 turns and in initialization, a run is STUCK. */
  stuckAfterMs: aboutTheRun,
  onStuck: z.enum(timeoutActions),
  /** R16: no run should live longer than this, whatever it does. */
  totalTimeoutMs: aboutTheRun,
  onTotalTimeout: z.enum(timeoutActions),
}

/** R7. */
const deferrals = {
  deferLimitMs: 60_000,
  gitOperationsLimitMs: 30_000,
  databaseTransactionsLimitMs: 15_000,
  fileOperationsLimitMs: 10_000,
  apiCallsLimitMs: 5_000,
}

/** R16. `strict` is for fleets whose runs answer within minutes; its initialization timeout would hit normal runs elsewhere. */
export const presets: Record<PolicyPreset, z.infer<z.ZodObject<typeof thresholds>>> = {
  standard: {
    graceMs: 3_000,
    proofDeadlineMs: 5_000,
    ...deferrals,
    slowAfterMs: 10 * minutes,
    initializationWarningMs: 5 * minutes,
    stuckAfterMs: 30 * minutes,
    onStuck: 'kill',
    totalTimeoutMs: hours,
    onTotalTimeout: 'alert',
  },
  strict: {
    graceMs: 3_000,
    proofDeadlineMs: 5_000,
    ...deferrals,
    slowAfterMs: 10 * minutes,
    initializationWarningMs: 150_000,
    stuckAfterMs: 5 * minutes,
    onStuck: 'kill',
    totalTimeoutMs: hours,
    onTotalTimeout: 'kill',
  },
}

const { standard } = presets

/** The thresholds of a run, complete. All durations in milliseconds. What an older event does not say is as in `standard`. */
export const policySchema = z.strictObject({
  preset: z.enum(policyPresets).default('standard'),
  graceMs: thresholds.graceMs.default(standard.graceMs),
  proofDeadlineMs: thresholds.proofDeadlineMs.default(standard.proofDeadlineMs),
  deferLimitMs: deferral.default(standard.deferLimitMs),
  gitOperationsLimitMs: deferral.default(standard.gitOperationsLimitMs),
  databaseTransactionsLimitMs: deferral.default(standard.databaseTransactionsLimitMs),
  fileOperationsLimitMs: deferral.default(standard.fileOperationsLimitMs),
  apiCallsLimitMs: deferral.default(standard.apiCallsLimitMs),
  slowAfterMs: thresholds.slowAfterMs.default(standard.slowAfterMs),
  initializationWarningMs: thresholds.initializationWarningMs.default(standard.initializationWarningMs),
  stuckAfterMs: thresholds.stuckAfterMs.default(standard.stuckAfterMs),
  onStuck: thresholds.onStuck.default(standard.onStuck),
  totalTimeoutMs: thresholds.totalTimeoutMs.default(standard.totalTimeoutMs),
  onTotalTimeout: thresholds.onTotalTimeout.default(standard.onTotalTimeout),
})
export type Policy = z.infer<typeof policySchema>

/** As somebody asks for it: a preset to begin with, and what should differ. */
export const policyInputSchema = z.strictObject({ preset: z.enum(policyPresets), ...thresholds }).partial()
export type PolicyInput = z.infer<typeof policyInputSchema>

/**
 * The layers in turn, such as a workflow's, then a run's. A layer that names a preset begins anew with it. A warning of
 * which nobody said when comes halfway to a stuck limit that is shorter than the preset's warning.
 */
export function resolvePolicy(...layers: PolicyInput[]): Policy {
  const asked = layers.reduce<PolicyInput>(
    (before, layer) => ({ ...(layer.preset === undefined ? before : {}), ...given(layer) }),
    {},
  )
  const { preset = 'standard', ...differing } = asked
  const policy = { preset, ...presets[preset], ...differing }
  if (asked.initializationWarningMs !== undefined || !warnsTooLate(policy)) return policy
  return { ...policy, initializationWarningMs: Math.max(1, Math.floor(policy.stuckAfterMs / 2)) }
}

const warnsTooLate = (policy: Policy) => policy.initializationWarningMs > policy.stuckAfterMs

/** What can never be of a policy of these layers: which threshold, why, and the way out. undefined: nothing. */
export function impossibleIn(...layers: PolicyInput[]): { threshold: keyof Policy; message: string } | undefined {
  const policy = resolvePolicy(...layers)
  if (!warnsTooLate(policy)) return undefined
  const [warning, stuck] = [duration(policy.initializationWarningMs), duration(policy.stuckAfterMs)]
  const message =
    `is ${warning}, after stuckAfterMs (${stuck}), so that nobody would ever be warned: make it ${stuck} at most, ` +
    'or stuckAfterMs longer'
  return { threshold: 'initializationWarningMs', message }
}

const given = <Thresholds extends object>(differing: Thresholds) =>
  Object.fromEntries(Object.entries(differing).filter(([, value]) => value !== undefined)) as Partial<Thresholds>

export const standardPolicy: Policy = resolvePolicy()
