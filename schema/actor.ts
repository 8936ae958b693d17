import type { Actor } from '../src/domain/event.ts'
import { builder } from './builder.ts'

const ActorKind = builder.enumType('ActorKind', {
  description: 'What sort of somebody an actor is.',
  values: {
    USER: { value: 'user', description: 'A person.' },
    TOKEN: { value: 'token', description: 'Whoever holds an access token.' },
    RUN: { value: 'run', description: 'A supervised run.' },
    MONITOR: { value: 'monitor', description: 'Runwarden itself, by policy.' },
    HOST: { value: 'host', description: 'A host agent: it reports what it saw.' },
  } as const satisfies Record<string, { value: Actor['kind']; description: string }>,
})

export const ActorType = builder.objectRef<Actor>('Actor').implement({
  description: 'Who caused something.',
  fields: (t) => ({
    kind: t.expose('kind', { type: ActorKind, description: 'What sort of somebody.' }),
    id: t.exposeString('id', { description: 'Which one: such as `admin`, the token made on the first start.' }),
  }),
})
