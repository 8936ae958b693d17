import type { RestartRunResult } from '../src/control/control.ts'
import type { RestartDefinition } from '../src/domain/run-events.ts'
import type { RestartState } from '../src/domain/run-state.ts'
import { ActorType } from './actor.ts'
import { builder, requester } from './builder.ts'
import { given } from './page.ts'
import {
  InvalidInputType,
  InvalidTransitionType,
  NotRestartableType,
  PermissionDeniedType,
  RunNotFoundType,
  StoreUnavailableType,
  UnknownWorkflowType,
} from './problem.ts'
import { RunType } from './run.ts'

const RestartDefinitionType = builder.enumType('RestartDefinition', {
  description: 'What a restart starts.',
  values: {
    RECORDED: { value: 'RECORDED', description: 'The same as the old run, whatever became of its workflow.' },
    CURRENT: {
      value: 'CURRENT',
      description:
        'What the definition of its workflow says now, with the prompt of the old run where that says nothing of one.',
    },
  } as const satisfies Record<RestartDefinition, { value: RestartDefinition; description: string }>,
})

const Restart = builder.objectRef<RestartState>('Restart').implement({
  description: 'The restart of a run: asked for, and done once the run is proven dead.',
  fields: (t) => ({
    newRunId: t.exposeID('newRunId', {
      description: 'The run that takes its place; not there before the old one ended.',
    }),
    definition: t.expose('definition', { type: RestartDefinitionType, description: 'What it starts.' }),
    reason: t.exposeString('reason', { nullable: true, description: 'Why, in the words of whoever asked.' }),
    requestedBy: t.expose('requestedBy', { type: ActorType, description: 'Who asked.' }),
    requestedAt: t.expose('requestedAt', { type: 'DateTime', description: 'When it was asked for.' }),
  }),
})

builder.objectFields(RunType, (t) => ({
  restart: t.expose('restart', {
    type: Restart,
    nullable: true,
    description: 'Its restart; null: none was asked for.',
  }),
  restartOf: t.field({
    type: RunType,
    nullable: true,
    description: 'The run in whose place this one was started.',
    resolve: ({ restartOf }, _args, { control }) => (restartOf === null ? null : control.run(restartOf)),
  }),
  restartedAs: t.field({
    type: RunType,
    nullable: true,
    description: 'The run that was started in its place.',
    resolve: ({ restartedAs }, _args, { control }) => (restartedAs === null ? null : control.run(restartedAs)),
  }),
}))

const RestartRunInput = builder.inputType('RestartRunInput', {
  description: 'Which run to restart, and as what.',
  fields: (t) => ({
    runId: t.id({ required: true, description: 'The run.' }),
    definition: t.field({ type: RestartDefinitionType, description: 'What to start; standard: RECORDED.' }),
    prompt: t.string({ description: 'Instead of the old prompt; at most 120,000 bytes.' }),
    reason: t.string({ description: 'Why, for the record; at most 2,000 characters.' }),
    timeoutMs: t.int({ description: 'Milliseconds to wait at most. The restart goes on in any case.' }),
  }),
})

type Answer = Extract<RestartRunResult, { type: 'RestartRunAnswer' }>

const RestartRunAnswer = builder.objectRef<Answer>('RestartRunAnswer').implement({
  description: 'The restart is accepted; this is how far it has come.',
  fields: (t) => ({
    newRunId: t.exposeID('newRunId', { description: 'The run that takes the old one’s place.' }),
    run: t.expose('run', { type: RunType, description: 'The old run as it is now.' }),
    newRun: t.expose('newRun', {
      type: RunType,
      nullable: true,
      description: 'The new run; null: it is not there yet.',
    }),
    message: t.exposeString('message', { description: 'For people; says what goes on when the wait expired.' }),
    joined: t.exposeBoolean('joined', {
      description: 'The restart had been asked for before; this request joined it.',
    }),
    waitExpired: t.exposeBoolean('waitExpired', { description: 'The new run was not there when the wait ended.' }),
  }),
})

const RestartRunResultType = builder.unionType('RestartRunResult', {
  description: 'What `restartRun` answers.',
  types: [
    RestartRunAnswer,
    InvalidInputType,
    RunNotFoundType,
    NotRestartableType,
    UnknownWorkflowType,
    InvalidTransitionType,
    PermissionDeniedType,
    StoreUnavailableType,
  ],
  resolveType: (result) => result.type,
})

builder.mutationField('restartRun', (t) =>
  t.field({
    type: RestartRunResultType,
    description:
      'Starts a new run in the place of another, which is killed first if it lives. However often it is asked for a ' +
      'run: one new run, and only once the old one is proven dead.',
    args: { input: t.arg({ type: RestartRunInput, required: true, description: 'Which run, and as what.' }) },
    resolve: (_root, { input }, context) =>
      context.control.restartRun(requester(context), given(input), context.signal),
  }),
)
