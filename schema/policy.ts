import { type Policy, type PolicyPreset, policyPresets, presets, type TimeoutAction } from '../src/domain/policy.ts'
import { builder } from './builder.ts'

const PolicyPresetType = builder.enumType('PolicyPreset', {
  description: 'What a policy begins with.',
  values: {
    STANDARD: { value: 'standard', description: 'Kills what is stuck for 30 minutes; alerts after an hour.' },
    STRICT: { value: 'strict', description: 'Kills after 5 minutes in initialization, and after an hour in all.' },
  } as const satisfies Record<Uppercase<PolicyPreset>, { value: PolicyPreset; description: string }>,
})

const TimeoutActionType = builder.enumType('TimeoutAction', {
  description: 'What the monitor does when a run has passed a limit.',
  values: {
    ALERT: { value: 'alert', description: 'Alert people.' },
    KILL: { value: 'kill', description: 'Alert people, and kill the run.' },
  } as const satisfies Record<Uppercase<TimeoutAction>, { value: TimeoutAction; description: string }>,
})

const descriptions = {
  graceMs: 'Milliseconds between SIGTERM and SIGKILL.',
  proofDeadlineMs: 'Milliseconds after SIGKILL in which proof is looked for.',
  deferLimitMs: 'Milliseconds, counted from its request, that a graceful kill waits for critical sections in all.',
  gitOperationsLimitMs: 'Of these at most so many milliseconds for a git operation.',
  databaseTransactionsLimitMs: 'Of these at most so many milliseconds for a database transaction.',
  fileOperationsLimitMs: 'Of these at most so many milliseconds for a file operation.',
  apiCallsLimitMs: 'Of these at most so many milliseconds for an API call.',
  slowAfterMs: 'Milliseconds until a run without a turn is SLOW.',
  initializationWarningMs: 'Milliseconds until an alert warns of a run without a turn, still in initialization.',
  stuckAfterMs:
    'The initialization timeout: milliseconds until a run without a turn, still in initialization, is STUCK.',
  onStuck: 'What is done about a run that is STUCK.',
  totalTimeoutMs: 'Milliseconds that a run should last at most.',
  onTotalTimeout: 'What is done about a run that lasts longer.',
} as const satisfies Record<Exclude<keyof Policy, 'preset'>, string>

export const PolicyType = builder.objectRef<Policy>('Policy').implement({
  description: 'The thresholds of a run.',
  fields: (t) => ({
    preset: t.expose('preset', { type: PolicyPresetType, description: 'What it began with.' }),
    graceMs: t.exposeInt('graceMs', { description: descriptions.graceMs }),
    proofDeadlineMs: t.exposeInt('proofDeadlineMs', { description: descriptions.proofDeadlineMs }),
    deferLimitMs: t.exposeInt('deferLimitMs', { description: descriptions.deferLimitMs }),
    gitOperationsLimitMs: t.exposeInt('gitOperationsLimitMs', { description: descriptions.gitOperationsLimitMs }),
    databaseTransactionsLimitMs: t.exposeInt('databaseTransactionsLimitMs', {
      description: descriptions.databaseTransactionsLimitMs,
    }),
    fileOperationsLimitMs: t.exposeInt('fileOperationsLimitMs', { description: descriptions.fileOperationsLimitMs }),
    apiCallsLimitMs: t.exposeInt('apiCallsLimitMs', { description: descriptions.apiCallsLimitMs }),
    slowAfterMs: t.exposeInt('slowAfterMs', { description: descriptions.slowAfterMs }),
    initializationWarningMs: t.exposeInt('initializationWarningMs', {
      description: descriptions.initializationWarningMs,
    }),
    stuckAfterMs: t.exposeInt('stuckAfterMs', { description: descriptions.stuckAfterMs }),
    onStuck: t.expose('onStuck', { type: TimeoutActionType, description: descriptions.onStuck }),
    totalTimeoutMs: t.exposeInt('totalTimeoutMs', { description: descriptions.totalTimeoutMs }),
    onTotalTimeout: t.expose('onTotalTimeout', { type: TimeoutActionType, description: descriptions.onTotalTimeout }),
  }),
})

/** Such as `standard: 3000; strict: 3000`. */
const values = (threshold: keyof typeof descriptions) =>
  policyPresets
    .map((preset) => {
      const value = presets[preset][threshold]
      return `${preset}: ${typeof value === 'number' ? value : value.toUpperCase()}`
    })
    .join('; ')

const described = (threshold: keyof typeof descriptions) => ({
  description: `${descriptions[threshold]} ${values(threshold)}.`,
})

export const PolicyInput = builder.inputType('PolicyInput', {
  description: 'A preset to begin with, and what should differ from it.',
  fields: (t) => ({
    preset: t.field({ type: PolicyPresetType, description: 'What to begin with; standard: STANDARD.' }),
    graceMs: t.int(described('graceMs')),
    proofDeadlineMs: t.int(described('proofDeadlineMs')),
    deferLimitMs: t.int(described('deferLimitMs')),
    gitOperationsLimitMs: t.int(described('gitOperationsLimitMs')),
    databaseTransactionsLimitMs: t.int(described('databaseTransactionsLimitMs')),
    fileOperationsLimitMs: t.int(described('fileOperationsLimitMs')),
    apiCallsLimitMs: t.int(described('apiCallsLimitMs')),
    slowAfterMs: t.int(described('slowAfterMs')),
    initializationWarningMs: t.int(described('initializationWarningMs')),
    stuckAfterMs: t.int(described('stuckAfterMs')),
    onStuck: t.field({ type: TimeoutActionType, ...described('onStuck') }),
    totalTimeoutMs: t.int(described('totalTimeoutMs')),
    onTotalTimeout: t.field({ type: TimeoutActionType, ...described('onTotalTimeout') }),
  }),
})
