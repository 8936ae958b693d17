import type { ProjectionFailure, ProjectionStatus, RebuildResult, Skip } from '../projections/projector.ts'
import type { RebuildProjectionsResult, SkipProjectionEventResult } from '../src/control/control.ts'
import { ActorType } from './actor.ts'
import { builder, requester } from './builder.ts'
import {
  InvalidInputType,
  PermissionDeniedType,
  ProjectionNotStoppedType,
  RebuildFailedType,
  StoreUnavailableType,
  UnknownProjectionType,
} from './problem.ts'

const ProjectionFailureType = builder.objectRef<ProjectionFailure>('ProjectionFailure').implement({
  description: 'An event that a read model cannot take. Everything before it is in the tables.',
  fields: (t) => ({
    position: t.exposeFloat('position', { description: 'Of the event.' }),
    type: t.exposeString('type', { description: "The event's type." }),
    stream: t.exposeString('stream', { description: 'The stream that it is in.' }),
    error: t.exposeString('error', { description: 'For people: why it cannot be taken.' }),
  }),
})

const SkippedEventType = builder.objectRef<Skip>('SkippedEvent').implement({
  description: 'An event that a read model passes over for as long as it cannot take it, because somebody decided so.',
  fields: (t) => ({
    position: t.exposeFloat('position', { description: 'Of the event.' }),
    type: t.exposeString('type', { description: "The event's type." }),
    stream: t.exposeString('stream', { description: 'The stream that it is in.' }),
    error: t.exposeString('error', { description: 'For people: why it could not be taken.' }),
    skippedBy: t.expose('skippedBy', { type: ActorType, description: 'Who decided so.' }),
    skippedAt: t.expose('skippedAt', { type: 'DateTime', description: 'When.' }),
    reason: t.exposeString('reason', { nullable: true, description: 'Why, in their words.' }),
  }),
})

const ProjectionStatusType = builder.objectRef<ProjectionStatus>('ProjectionStatus').implement({
  description: 'A read model, and how far it follows the event store.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Its name.' }),
    version: t.exposeInt('version', { description: 'Version of its tables.' }),
    position: t.exposeFloat('position', { description: 'Every event up to this position is in its tables.' }),
    lag: t.exposeFloat('lag', {
      nullable: true,
      description: 'How many positions it has yet to come; null while that cannot be asked.',
    }),
    state: t.exposeString('state', {
      description:
        '`running`; `standby`: another server runs it; `building`: its tables are not there yet, or still empty; ' +
        '`rebuilding`; `failed`; `waiting-for-store`.',
    }),
    error: t.exposeString('error', { nullable: true, description: 'For people: why it does not follow.' }),
    failure: t.expose('failure', {
      type: ProjectionFailureType,
      nullable: true,
      description: 'The event that stopped it; null: none did.',
    }),
    skips: t.expose('skips', {
      type: [SkippedEventType],
      description: 'Events that it may pass over, oldest decision first.',
    }),
  }),
})

builder.queryField('projections', (t) =>
  t.field({
    type: [ProjectionStatusType],
    description: 'The read models behind the queries.',
    resolve: (_root, _args, { control }) => control.projections(),
  }),
)

const RebuiltProjection = builder.objectRef<RebuildResult>('RebuiltProjection').implement({
  description: 'A read model that was rebuilt.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Its name.' }),
    events: t.exposeFloat('events', { description: 'How many events were folded.' }),
    durationMs: t.exposeFloat('durationMs', { description: 'How long it took, in milliseconds.' }),
    passedOver: t.exposeInt('passedOver', { description: 'Events that it still could not take, and passed over.' }),
  }),
})

const RebuildProjectionsAnswer = builder
  .objectRef<Extract<RebuildProjectionsResult, { type: 'RebuildProjectionsAnswer' }>>('RebuildProjectionsAnswer')
  .implement({
    description: 'Rebuilt.',
    fields: (t) => ({
      projections: t.expose('projections', { type: [RebuiltProjection], description: 'What was rebuilt.' }),
    }),
  })

const RebuildProjectionsResultType = builder.unionType('RebuildProjectionsResult', {
  description: 'What `rebuildProjections` answers.',
  types: [
    RebuildProjectionsAnswer,
    InvalidInputType,
    RebuildFailedType,
    UnknownProjectionType,
    PermissionDeniedType,
    StoreUnavailableType,
  ],
  resolveType: (result) => result.type,
})

builder.mutationField('rebuildProjections', (t) =>
  t.field({
    type: RebuildProjectionsResultType,
    description: 'Builds read models anew from the events, while reads go on, and answers when they are in place.',
    args: { names: t.arg.stringList({ description: 'Which; without it: all.' }) },
    resolve: (_root, { names }, context) => context.control.rebuildProjections(requester(context), names ?? null),
  }),
)

const SkipProjectionEventAnswer = builder
  .objectRef<Extract<SkipProjectionEventResult, { type: 'SkipProjectionEventAnswer' }>>('SkipProjectionEventAnswer')
  .implement({
    description: 'The read model passes over the event.',
    fields: (t) => ({
      projection: t.expose('projection', {
        type: ProjectionStatusType,
        description: 'As it is now; it may have stopped at a later event.',
      }),
      skip: t.expose('skip', { type: SkippedEventType, description: 'What was decided.' }),
    }),
  })

const SkipProjectionEventResultType = builder.unionType('SkipProjectionEventResult', {
  description: 'What `skipProjectionEvent` answers.',
  types: [
    SkipProjectionEventAnswer,
    InvalidInputType,
    UnknownProjectionType,
    ProjectionNotStoppedType,
    PermissionDeniedType,
    StoreUnavailableType,
  ],
  resolveType: (result) => result.type,
})

builder.mutationField('skipProjectionEvent', (t) =>
  t.field({
    type: SkipProjectionEventResultType,
    description: 'Lets a read model pass over the event that stopped it. Its tables then lack that event.',
    args: {
      name: t.arg.string({ required: true, description: 'Which read model.' }),
      position: t.arg.float({ required: true, description: 'Of the event that stopped it.' }),
      reason: t.arg.string({ description: 'Why; it is kept.' }),
    },
    resolve: (_root, input, context) => context.control.skipProjectionEvent(requester(context), input),
  }),
)
