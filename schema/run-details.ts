import { type OutOfMemory, outOfMemoryText } from '../src/domain/out-of-memory.ts'
import type { Usage } from '../src/domain/run-events.ts'
import type { CleanupStep, RunState } from '../src/domain/run-state.ts'
import { builder } from './builder.ts'

export const Label = builder.objectRef<{ name: string; value: string }>('Label').implement({
  description: 'A name and a value that somebody gave a run or a workflow.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Name; unique where it stands.' }),
    value: t.exposeString('value', { description: 'Value.' }),
  }),
})

/** Labels as GraphQL has them: it knows no maps. By name. */
export const labelsOf = (labels: Record<string, string>) =>
  Object.keys(labels)
    .sort()
    .map((name) => ({ name, value: labels[name] ?? '' }))

export const UsageType = builder.objectRef<Usage>('Usage').implement({
  description: "What the agent used since the run's start, as it reported it.",
  fields: (t) => ({
    inputTokens: t.exposeFloat('inputTokens', { nullable: true, description: 'Tokens read that no cache had.' }),
    outputTokens: t.exposeFloat('outputTokens', { nullable: true, description: 'Tokens written.' }),
    cacheReadTokens: t.exposeFloat('cacheReadTokens', { nullable: true, description: 'Tokens read from a cache.' }),
    cacheCreationTokens: t.exposeFloat('cacheCreationTokens', {
      nullable: true,
      description: 'Tokens written to a cache.',
    }),
    costUsd: t.exposeFloat('costUsd', { nullable: true, description: 'US dollars.' }),
  }),
})

export const NoticeType = builder.objectRef<RunState['notices'][number]>('Notice').implement({
  description: 'Something about the run that is said once, such as a progress line that could not be read.',
  fields: (t) => ({
    code: t.exposeString('code', { description: 'Which notice.' }),
    detail: t.exposeString('detail', { description: 'For people.' }),
    at: t.expose('at', { type: 'DateTime', description: 'When.' }),
  }),
})

export const OutOfMemoryType = builder.objectRef<OutOfMemory>('OutOfMemory').implement({
  description: "What the kernel counted in a run's cgroup when memory ran out.",
  fields: (t) => ({
    kills: t.exposeInt('kills', { description: 'Processes of the run that were killed for it.' }),
    limitHits: t.exposeInt('limitHits', {
      description: 'How often the run had reached its own limit; 0: the memory of others ran out.',
    }),
    limitBytes: t.exposeFloat('limitBytes', { nullable: true, description: 'That limit; null: it had none.' }),
    message: t.string({ description: 'The same in words.', resolve: outOfMemoryText }),
  }),
})

export const FailureType = builder.objectRef<NonNullable<RunState['failure']>>('Failure').implement({
  description: 'Why a run failed.',
  fields: (t) => ({
    reason: t.exposeString('reason', { description: 'EXIT_STATUS or LAUNCH_FAILED.' }),
    message: t.exposeString('message', { description: 'For people.' }),
    code: t.exposeString('code', {
      nullable: true,
      description: 'Of LAUNCH_FAILED: such as EXECUTABLE_NOT_FOUND or WORKSPACE_UNREADABLE.',
    }),
  }),
})

export const CleanupStatus = builder.enumType('CleanupStatus', {
  description: 'How far the cleanup after a run is.',
  values: {
    NONE: { value: 'NONE', description: 'The run has not ended.' },
    RUNNING: { value: 'RUNNING', description: 'Under way.' },
    DONE: { value: 'DONE', description: 'Every step is done.' },
    FAILED: { value: 'FAILED', description: 'Over, and at least one step failed for good.' },
  } as const satisfies Record<
    RunState['cleanup']['status'],
    { value: RunState['cleanup']['status']; description: string }
  >,
})

const CleanupStepStatus = builder.enumType('CleanupStepStatus', {
  description: 'How a step of a cleanup ended.',
  values: {
    COMPLETED: { value: 'COMPLETED', description: 'Done.' },
    FAILED: { value: 'FAILED', description: 'Its last attempt failed.' },
  } as const satisfies Record<CleanupStep['status'], { value: CleanupStep['status']; description: string }>,
})

const CleanupStepType = builder.objectRef<CleanupStep>('CleanupStep').implement({
  description: 'One step of a cleanup.',
  fields: (t) => ({
    step: t.exposeString('step', { description: 'Which step.' }),
    status: t.expose('status', { type: CleanupStepStatus, description: 'How its last attempt ended.' }),
    detail: t.exposeString('detail', { description: 'What was done, or the error.' }),
    attempts: t.exposeInt('attempts', { description: 'How often it was tried.' }),
    at: t.expose('at', { type: 'DateTime', description: 'When its last attempt ended.' }),
  }),
})

export const CleanupType = builder.objectRef<RunState['cleanup']>('Cleanup').implement({
  description: 'What is tidied up after a run, whatever ended it.',
  fields: (t) => ({
    status: t.expose('status', { type: CleanupStatus, description: 'How far it is.' }),
    steps: t.expose('steps', { type: [CleanupStepType], description: 'Its steps so far.' }),
    doneAt: t.expose('doneAt', { type: 'DateTime', nullable: true, description: 'When it was over.' }),
  }),
})
