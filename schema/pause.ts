import type { PauseRunAnswer } from '../src/control/control.ts'
import { pausedMsAt } from '../src/domain/pause.ts'
import type { RunState } from '../src/domain/run-state.ts'
import { ActorType } from './actor.ts'
import { builder, requester } from './builder.ts'
import { given } from './page.ts'
import {
  AlreadyEndedType,
  InvalidInputType,
  InvalidTransitionType,
  PermissionDeniedType,
  RunNotFoundType,
  StoreUnavailableType,
} from './problem.ts'
import { clockOf, RunType, type ShownRun } from './run.ts'

/** A run of which somebody once wanted a pause. */
type PausedRun = ShownRun & { pause: NonNullable<RunState['pause']> }

const PauseType = builder.objectRef<PausedRun>('Pause').implement({
  description: 'What was last asked for, a pause or its end, and what has come of it.',
  fields: (t) => ({
    paused: t.boolean({
      description: 'Whether the run is to stand still. Its status says whether it does.',
      resolve: ({ pause }) => pause.paused,
    }),
    reason: t.string({
      nullable: true,
      description: 'Why, in the words of whoever asked.',
      resolve: ({ pause }) => pause.reason,
    }),
    requestedBy: t.field({ type: ActorType, description: 'Who asked.', resolve: ({ pause }) => pause.requestedBy }),
    requestedAt: t.field({
      type: 'DateTime',
      description: 'When it was asked for.',
      resolve: ({ pause }) => pause.requestedAt,
    }),
    stoppedAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'When its processes last came to stand still; null: never.',
      resolve: ({ lastPause }) => lastPause?.from ?? null,
    }),
    wentOnAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'When they went on after that, or were ended; null: they stand still.',
      resolve: ({ lastPause }) => lastPause?.to ?? null,
    }),
  }),
})

builder.objectFields(RunType, (t) => ({
  pause: t.field({
    type: PauseType,
    nullable: true,
    description: 'The latest pause; null: nobody ever asked for one.',
    resolve: (run) => (run.pause === null ? null : { ...run, pause: run.pause }),
  }),
  pausedMs: t.float({
    description: 'Milliseconds that it has been paused in all. They are no age: no verdict and no timeout counts them.',
    resolve: (run, _args, { now }) => pausedMsAt(run, clockOf(run, now)),
  }),
}))

const inputOf = (name: 'PauseRunInput' | 'ResumeRunInput', description: string) =>
  builder.inputType(name, {
    description,
    fields: (t) => ({
      runId: t.id({ required: true, description: 'The run.' }),
      reason: t.string({ description: 'Why, for the record; at most 2,000 characters.' }),
      timeoutMs: t.int({ description: 'Milliseconds to wait at most. What was asked for goes on in any case.' }),
    }),
  })
const PauseRunInput = inputOf('PauseRunInput', 'Which run to pause.')
const ResumeRunInput = inputOf('ResumeRunInput', 'Which run to let go on.')

const PauseRunAnswerType = builder.objectRef<PauseRunAnswer>('PauseRunAnswer').implement({
  description: 'It is recorded; this is how far it has come.',
  fields: (t) => ({
    success: t.exposeBoolean('success', { description: 'Its host has shown that it is as was asked.' }),
    run: t.expose('run', { type: RunType, description: 'The run as it is now.' }),
    message: t.exposeString('message', { description: 'For people; says what goes on when the wait expired.' }),
    joined: t.exposeBoolean('joined', { description: 'That was wanted already; this request joined it.' }),
    waitExpired: t.exposeBoolean('waitExpired', { description: '`timeoutMs` passed before it was so.' }),
  }),
})

const PauseRunResultType = builder.unionType('PauseRunResult', {
  description: 'What `pauseRun` and `resumeRun` answer.',
  types: [
    PauseRunAnswerType,
    InvalidInputType,
    RunNotFoundType,
    AlreadyEndedType,
    InvalidTransitionType,
    PermissionDeniedType,
    StoreUnavailableType,
  ],
  resolveType: (result) => result.type,
})

builder.mutationFields((t) => ({
  pauseRun: t.field({
    type: PauseRunResultType,
    description:
      'Stops all processes of a run until it is resumed. It keeps its slot; it can be killed as any other. Paused time ' +
      'is no age.',
    args: { input: t.arg({ type: PauseRunInput, required: true, description: 'Which run.' }) },
    resolve: (_root, { input }, context) => context.control.pauseRun(requester(context), given(input), context.signal),
  }),
  resumeRun: t.field({
    type: PauseRunResultType,
    description: 'Lets a run that is paused go on.',
    args: { input: t.arg({ type: ResumeRunInput, required: true, description: 'Which run.' }) },
    resolve: (_root, { input }, context) => context.control.resumeRun(requester(context), given(input), context.signal),
  }),
}))
