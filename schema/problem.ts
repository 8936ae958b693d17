import type {
  AlreadyEnded,
  IdempotencyConflict,
  InvalidInput,
  InvalidTransition,
  NotRestartable,
  PermissionDenied,
  ProjectionNotStopped,
  RebuildFailedFailure,
  RegistrationRefused,
  RunIdTaken,
  RunNotFound,
  StoreUnavailableFailure,
  UnknownProjection,
  UnknownWorkflow,
} from '../src/control/control.ts'
import { builder } from './builder.ts'
import { RunStatusType, RunType } from './run.ts'

const Problem = builder.interfaceRef<{ message: string }>('Problem').implement({
  description: 'Why nothing was done. Every failure of a mutation is one.',
  fields: (t) => ({
    message: t.exposeString('message', { description: 'For people: what is wrong, and the way out.' }),
  }),
})

const runIdDescription = 'The run that was named.'

const InputIssue = builder.objectRef<InvalidInput['issues'][number]>('InputIssue').implement({
  description: 'One thing that is wrong with an input.',
  fields: (t) => ({
    path: t.exposeString('path', {
      description: 'Where, such as `command.0` or `workspace.path`; empty: the whole input.',
    }),
    message: t.exposeString('message', { description: 'What is wrong there.' }),
  }),
})

export const InvalidInputType = builder.objectRef<InvalidInput>('InvalidInput').implement({
  description: 'The input could not be used.',
  interfaces: [Problem],
  fields: (t) => ({ issues: t.expose('issues', { type: [InputIssue], description: 'Each thing that is wrong.' }) }),
})

export const RunNotFoundType = builder.objectRef<RunNotFound>('RunNotFound').implement({
  description: 'There is no run of that id.',
  interfaces: [Problem],
  fields: (t) => ({ runId: t.exposeID('runId', { description: runIdDescription }) }),
})

export const AlreadyEndedType = builder.objectRef<AlreadyEnded>('AlreadyEnded').implement({
  description: 'The run has ended, and nothing of it is left to kill.',
  interfaces: [Problem],
  fields: (t) => ({ run: t.expose('run', { type: RunType, description: 'The run, with how it ended.' }) }),
})

export const PermissionDeniedType = builder.objectRef<PermissionDenied>('PermissionDenied').implement({
  description: 'The viewer may not do this. The attempt is on record.',
  interfaces: [Problem],
})

export const StoreUnavailableType = builder.objectRef<StoreUnavailableFailure>('StoreUnavailable').implement({
  description: 'The event store is away: nothing was recorded, so nothing was done.',
  interfaces: [Problem],
})

export const RunIdTakenType = builder.objectRef<RunIdTaken>('RunIdTaken').implement({
  description: 'A run of that id exists; run ids are never used twice.',
  interfaces: [Problem],
  fields: (t) => ({ runId: t.exposeID('runId', { description: runIdDescription }) }),
})

export const IdempotencyConflictType = builder.objectRef<IdempotencyConflict>('IdempotencyConflict').implement({
  description: 'The idempotency key was used before, for a different request.',
  interfaces: [Problem],
  fields: (t) => ({ runId: t.exposeID('runId', { description: 'The run that the key stands for.' }) }),
})

export const RegistrationRefusedType = builder.objectRef<RegistrationRefused>('RegistrationRefused').implement({
  description: 'The process may not be supervised.',
  interfaces: [Problem],
  fields: (t) => ({
    code: t.exposeString('code', {
      description: 'NO_SUCH_PROCESS, PROTECTED_PROCESS, KERNEL_THREAD or MEMBER_OF_ANOTHER_RUN.',
    }),
    pid: t.exposeInt('pid', { description: 'The process id that was named.' }),
  }),
})

export const UnknownProjectionType = builder.objectRef<UnknownProjection>('UnknownProjection').implement({
  description: 'There is no projection of that name.',
  interfaces: [Problem],
  fields: (t) => ({ known: t.exposeStringList('known', { description: 'The names that there are.' }) }),
})

export const ProjectionNotStoppedType = builder.objectRef<ProjectionNotStopped>('ProjectionNotStopped').implement({
  description: 'The projection has not stopped at that event, so there is nothing to pass over.',
  interfaces: [Problem],
})

export const RebuildFailedType = builder.objectRef<RebuildFailedFailure>('RebuildFailed').implement({
  description: 'A rebuild met an event that cannot be taken. The live tables are as they were.',
  interfaces: [Problem],
  fields: (t) => ({
    projection: t.exposeString('projection', { description: 'Which projection cannot take it.' }),
    position: t.exposeFloat('position', { description: 'Of the event.' }),
  }),
})

export const UnknownWorkflowType = builder.objectRef<UnknownWorkflow>('UnknownWorkflow').implement({
  description: 'No workflow of that name is defined, or it has no such version.',
  interfaces: [Problem],
  fields: (t) => ({
    workflow: t.exposeString('workflow', { description: 'The name that was given.' }),
    nearest: t.exposeStringList('nearest', { description: 'Names that were perhaps meant, nearest first.' }),
  }),
})

export const NotRestartableType = builder.objectRef<NotRestartable>('NotRestartable').implement({
  description: 'Nobody knows how the run was started, so it cannot be started again.',
  interfaces: [Problem],
  fields: (t) => ({ runId: t.exposeID('runId', { description: runIdDescription }) }),
})

export const InvalidTransitionType = builder.objectRef<InvalidTransition>('InvalidTransition').implement({
  description: 'This cannot follow what was decided about the run before.',
  interfaces: [Problem],
  fields: (t) => ({
    runId: t.exposeID('runId', { description: runIdDescription }),
    status: t.expose('status', { type: RunStatusType, description: 'Where the run is in its life.' }),
  }),
})
