import { type Command, Option } from 'commander'
import { policyPresets, type TimeoutAction, timeoutActions } from '../domain/policy.ts'
import { parseDuration } from './durations.ts'

/** Durations in milliseconds. */
export type PolicyOptions = {
  policy?: string
  grace?: number
  deferLimit?: number
  slowAfter?: number
  warnAfter?: number
  stuckAfter?: number
  onStuck?: TimeoutAction
  totalTimeout?: number
  onTotalTimeout?: TimeoutAction
}

/** The options of a command that decides on the thresholds of runs. */
export const withPolicy = (command: Command) =>
  command
    .addOption(new Option('--policy <preset>', 'thresholds to begin with; what follows differs').choices(policyPresets))
    .option('--grace <duration>', 'time between SIGTERM and SIGKILL when it is killed', parseDuration)
    .option(
      '--defer-limit <duration>',
      'how long a kill waits for critical sections at most; 0s: not at all',
      parseDuration,
    )
    .option('--slow-after <duration>', 'without a turn for so long, it is slow', parseDuration)
    .option(
      '--warn-after <duration>',
      'without a turn and in initialization for so long, an alert warns',
      parseDuration,
    )
    .option('--stuck-after <duration>', 'without a turn and in initialization for so long, it is stuck', parseDuration)
    .addOption(new Option('--on-stuck <action>', 'what is done when it is stuck').choices(timeoutActions))
    .option('--total-timeout <duration>', 'how long it should last at most', parseDuration)
    .addOption(new Option('--on-total-timeout <action>', 'what is done when it lasts longer').choices(timeoutActions))

/** As the API takes it; undefined: nothing was said of it. */
export function policyInput(options: PolicyOptions) {
  const { policy, grace, deferLimit, slowAfter, warnAfter, stuckAfter, onStuck, totalTimeout, onTotalTimeout } = options
  const differing = {
    preset: policy?.toUpperCase(),
    graceMs: grace,
    deferLimitMs: deferLimit,
    slowAfterMs: slowAfter,
    initializationWarningMs: warnAfter,
    stuckAfterMs: stuckAfter,
    onStuck: onStuck?.toUpperCase(),
    totalTimeoutMs: totalTimeout,
    onTotalTimeout: onTotalTimeout?.toUpperCase(),
  }
  return Object.values(differing).some((value) => value !== undefined) ? differing : undefined
}
