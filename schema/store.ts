import type { StoreStats, StreamKind } from '../src/event-store/event-store.ts'
import { builder } from './builder.ts'

const StoreEngine = builder.enumType('StoreEngine', {
  description: 'What keeps the events.',
  values: {
    POSTGRESQL: { value: 'postgresql', description: 'PostgreSQL, embedded or any other.' },
    KURRENTDB: { value: 'kurrentdb', description: 'KurrentDB.' },
  } as const satisfies Record<string, { value: StoreStats['engine']; description: string }>,
})

const StreamKindType = builder.objectRef<StreamKind>('StreamKind').implement({
  description: 'All streams whose names begin alike, such as `run` or `telemetry`.',
  fields: (t) => ({
    kind: t.exposeString('kind', { description: 'How their names begin.' }),
    streams: t.exposeFloat('streams', { description: 'How many there are.' }),
    events: t.exposeFloat('events', { description: 'How many events they have.' }),
    retired: t.exposeFloat('retired', { description: 'How many more they had, which retention has removed.' }),
  }),
})

const StoreStatsType = builder.objectRef<StoreStats>('StoreStats').implement({
  description: 'The event store. What its engine cannot tell is null.',
  fields: (t) => ({
    engine: t.expose('engine', { type: StoreEngine, description: 'What keeps the events.' }),
    version: t.exposeString('version', { nullable: true, description: "Of the engine's server." }),
    storeId: t.exposeID('storeId', { description: 'A UUID, made with the store.' }),
    position: t.exposeFloat('head', { description: 'Of the last event.' }),
    events: t.exposeFloat('events', { nullable: true, description: 'How many events can be read.' }),
    retiredEvents: t.exposeFloat('retiredEvents', { nullable: true, description: 'How many retention has removed.' }),
    bytesOnDisk: t.exposeFloat('bytesOnDisk', { nullable: true, description: 'Of events and their indexes.' }),
    streams: t.expose('streams', {
      type: [StreamKindType],
      nullable: true,
      description: 'Streams and events, by kind of stream.',
    }),
    oldestAt: t.expose('oldestAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When the first event that is still there was recorded; null in an empty store, too.',
    }),
    newestAt: t.expose('newestAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When the last event was recorded; null in an empty store, too.',
    }),
    appendedPerSecond: t.exposeFloat('appendedPerSecond', {
      nullable: true,
      description: 'Events per second, over the last minute.',
    }),
  }),
})

builder.queryField('storeStats', (t) =>
  t.field({
    type: StoreStatsType,
    description: 'How much the event store holds. Takes up to a second where there are millions of streams.',
    resolve: (_root, _args, { control }) => control.storeStats(),
  }),
)
