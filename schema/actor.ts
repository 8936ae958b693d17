import { type Actor, actorSchema } from '../src/domain/event.ts'
import { builder } from './builder.ts'

const ActorKind = builder.enumType('ActorKind', {
  description: 'What sort of somebody an actor is.',
  values: {
    USER: { value: 'user', description: 'A person.' },
    TOKEN: { value: 'token', description: 'Whoever holds an access token.' },
    RUN: { value: 'run', description: 'A supervised run.' },
    MONITOR: { value: 'monitor', description: 'Runwarden itself, by policy.' },
    HOST: { value: 'host', description: 'A host agent: it reports what it saw.' },
    OTHER: { value: 'other', description: 'A sort that only a newer Runwarden knows.' },
  } as const satisfies Record<string, { value: Actor['kind'] | 'other'; description: string }>,
})

const knownKinds: readonly string[] = actorSchema.shape.kind.options

export const ActorType = builder.objectRef<Actor>('Actor').implement({
  description: 'Who caused something.',
  fields: (t) => ({
    kind: t.field({
      type: ActorKind,
      description: 'What sort of somebody.',
      resolve: ({ kind }) => (knownKinds.includes(kind) ? kind : 'other'),
    }),
    id: t.exposeString('id', { description: 'Which one: such as `admin`, the token made on the first start.' }),
  }),
})
