import type { ProjectionStatus, RebuildResult } from '../projections/projector.ts'
import type { RebuildProjectionsResult } from '../src/control/control.ts'
import { builder, requester } from './builder.ts'
import { InvalidInputType, PermissionDeniedType, StoreUnavailableType, UnknownProjectionType } from './problem.ts'

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
    state: t.exposeString('state', { description: 'What it is doing.' }),
    error: t.exposeString('error', { nullable: true, description: 'For people: why it does not follow.' }),
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
