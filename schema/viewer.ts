import type { Actor } from '../src/domain/event.ts'
import { ActorType } from './actor.ts'
import { builder, requester } from './builder.ts'

const Viewer = builder.objectRef<Actor>('Viewer').implement({
  description: 'Who asks, and whom they ask.',
  fields: (t) => ({
    actor: t.field({
      type: ActorType,
      description: 'Under what name their actions are recorded.',
      resolve: (actor) => actor,
    }),
    serverVersion: t.string({
      description: 'Version of this Runwarden.',
      resolve: (_viewer, _args, { version }) => version,
    }),
  }),
})

builder.queryField('viewer', (t) =>
  t.field({
    type: Viewer,
    description: 'Who asks.',
    resolve: (_root, _args, context) => requester(context).actor,
  }),
)
