import type { ForceCompleteRunResult } from '../src/control/control.ts'
import { type ForcedOutcome, forcedOutcomeSchema } from '../src/domain/run-events.ts'
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
import { RunType } from './run.ts'

const ForcedOutcomeType = builder.enumType('ForcedOutcome', {
  description: 'As what a run is ended by decision.',
  values: {
    COMPLETED: { value: 'COMPLETED', description: 'As if it had done its work.' },
    FAILED: { value: 'FAILED', description: 'As failed.' },
  } as const satisfies Record<ForcedOutcome, { value: ForcedOutcome; description: string }>,
})

const ForceComplete = builder.objectRef<NonNullable<RunState['forceComplete']>>('ForceComplete').implement({
  description: 'The decision as what the run ends. It takes effect once the run is proven dead.',
  fields: (t) => ({
    outcome: t.expose('outcome', { type: ForcedOutcomeType, description: 'As what.' }),
    reason: t.exposeString('reason', { nullable: true, description: 'Why, in the words of whoever decided.' }),
    requestedBy: t.expose('requestedBy', { type: ActorType, description: 'Who decided.' }),
    requestedAt: t.expose('requestedAt', { type: 'DateTime', description: 'When it was decided.' }),
  }),
})

builder.objectField(RunType, 'forceComplete', (t) =>
  t.expose('forceComplete', { type: ForceComplete, nullable: true, description: 'The decision; null: there is none.' }),
)

const ForceCompleteRunInput = builder.inputType('ForceCompleteRunInput', {
  description: 'Which run to end by decision, and as what.',
  fields: (t) => ({
    runId: t.id({ required: true, description: 'The run.' }),
    outcome: t.field({
      type: ForcedOutcomeType,
      defaultValue: forcedOutcomeSchema.enum.FAILED,
      description: 'As what.',
    }),
    reason: t.string({ description: 'Why, for the record; at most 2,000 characters.' }),
    timeoutMs: t.int({ description: 'Milliseconds to wait at most. What was decided goes on in any case.' }),
  }),
})

type Answer = Extract<ForceCompleteRunResult, { type: 'ForceCompleteRunAnswer' }>

const ForceCompleteRunAnswer = builder.objectRef<Answer>('ForceCompleteRunAnswer').implement({
  description: 'The decision is recorded; this is how far it has come.',
  fields: (t) => ({
    success: t.exposeBoolean('success', { description: 'The run has ended.' }),
    run: t.expose('run', { type: RunType, description: 'The run as it is now.' }),
    message: t.exposeString('message', { description: 'For people; says what goes on when the wait expired.' }),
    joined: t.exposeBoolean('joined', { description: 'The same was decided before; this request joined it.' }),
    waitExpired: t.exposeBoolean('waitExpired', { description: '`timeoutMs` passed before the run had ended.' }),
  }),
})

const ForceCompleteRunResultType = builder.unionType('ForceCompleteRunResult', {
  description: 'What `forceCompleteRun` answers.',
  types: [
    ForceCompleteRunAnswer,
    InvalidInputType,
    RunNotFoundType,
    AlreadyEndedType,
    InvalidTransitionType,
    PermissionDeniedType,
    StoreUnavailableType,
  ],
  resolveType: (result) => result.type,
})

builder.mutationField('forceCompleteRun', (t) =>
  t.field({
    type: ForceCompleteRunResultType,
    description: 'Ends a run as completed or failed by decision. A live run is killed first, and proven dead.',
    args: { input: t.arg({ type: ForceCompleteRunInput, required: true, description: 'Which run, and as what.' }) },
    resolve: (_root, { input }, context) =>
      context.control.forceCompleteRun(requester(context), given(input), context.signal),
  }),
)
