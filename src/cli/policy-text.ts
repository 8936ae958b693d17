import type { Policy } from './answers.ts'
import { formatDuration } from './durations.ts'

/** Thresholds, and what is done when one is passed, in a line. */
export function policyText(policy: Policy): string {
  const { preset, graceMs, deferLimitMs, slowAfterMs, initializationWarningMs, stuckAfterMs, totalTimeoutMs } = policy
  return [
    preset.toLowerCase(),
    `grace ${formatDuration(graceMs)}`,
    deferLimitMs === 0 ? 'defers no kill' : `defers a kill ${formatDuration(deferLimitMs)} at most`,
    `slow after ${formatDuration(slowAfterMs)}`,
    `warning after ${formatDuration(initializationWarningMs)}`,
    `stuck after ${formatDuration(stuckAfterMs)}: ${policy.onStuck.toLowerCase()}`,
    `total ${formatDuration(totalTimeoutMs)}: ${policy.onTotalTimeout.toLowerCase()}`,
  ].join(', ')
}
