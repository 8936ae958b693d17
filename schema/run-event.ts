import type { RunEventEntry } from '../src/control/control.ts'
import type { RecordedEvent } from '../src/domain/event.ts'
import type { LaunchSpec } from '../src/domain/launch.ts'
import { redactArguments, redactCommands, redactEnv } from '../src/domain/redact.ts'
import { readRunEvent } from '../src/domain/run-events.ts'
import { summarise } from '../src/domain/summary.ts'
import { ActorType } from './actor.ts'
import { builder, type Context } from './builder.ts'
import { follow } from './follow.ts'
import { connection, pageRequest } from './page.ts'
import { RunType } from './run.ts'
import { mustExist } from './run-queries.ts'

const RunEvent = builder.objectRef<RecordedEvent>('RunEvent').implement({
  description: 'Something that happened to a run, as it is kept for ever.',
  fields: (t) => ({
    id: t.id({ description: 'A UUID.', resolve: ({ metadata }) => metadata.eventId }),
    type: t.exposeString('type', { description: 'What happened, such as `RunStarted` or `SigkillSent`.' }),
    version: t.int({ description: 'Version of the shape of `data`.', resolve: ({ v }) => v }),
    revision: t.exposeInt('revision', { description: 'Its number in its stream; 0 is the first.' }),
    position: t.exposeFloat('position', { description: 'Its number among all events of the store; 1 is the first.' }),
    occurredAt: t.field({
      type: 'DateTime',
      description: 'When it happened, by the clock of whoever wrote it.',
      resolve: ({ metadata }) => metadata.occurredAt,
    }),
    recordedAt: t.expose('recordedAt', { type: 'DateTime', description: "When it was stored, by the store's clock." }),
    actor: t.field({ type: ActorType, description: 'Who caused it.', resolve: ({ metadata }) => metadata.actor }),
    correlationId: t.string({
      description: 'The same for everything that one request led to.',
      resolve: ({ metadata }) => metadata.correlationId,
    }),
    causationId: t.string({
      nullable: true,
      description: 'Id of the event that led to this one.',
      resolve: ({ metadata }) => metadata.causationId,
    }),
    data: t.field({
      type: 'JSON',
      description:
        'What is known of it; its shape goes with `type` and `version`. Command lines and variables are redacted.',
      resolve: (event) => shownData(event),
    }),
    isKnown: t.boolean({
      description: 'This Runwarden knows its type and version. One that only a newer one knows changes nothing here.',
      resolve: (event) => readRunEvent(event) !== undefined,
    }),
    summary: t.string({ description: 'One readable line.', resolve: (event) => summarise(event) }),
  }),
})

function shownData(event: RecordedEvent): unknown {
  const known = readRunEvent(event)
  if (known === undefined) return redactCommands(event.data)
  if (known.type === 'RestartRequested') return { ...known.data, launch: shownLaunch(known.data.launch) }
  if (known.type !== 'RunRequested') return event.data
  const { launch, registered } = known.data
  return {
    ...known.data,
    launch: launch && shownLaunch(launch),
    registered: registered && { ...registered, ...(registered.launch && { launch: shownLaunch(registered.launch) }) },
  }
}

const shownLaunch = (launch: LaunchSpec) => ({
  ...launch,
  command: redactArguments(launch.command),
  env: redactEnv(launch.env),
})

const RunEventEdge = builder.edgeObject({ type: RunEvent, name: 'RunEventEdge', description: 'An event in a list.' })

const RunEventConnection = builder.connectionObject(
  {
    type: RunEvent,
    name: 'RunEventConnection',
    description: 'A page of events.',
    edgesField: { description: 'The events of this page.' },
  },
  RunEventEdge,
)

const standardPage = 100

async function pageOfEvents(id: string, args: { first?: number | null; after?: string | null }, { control }: Context) {
  const page = await control.runEvents(id, pageRequest(args, standardPage))
  return page && connection(page, args.after, ({ event }: RunEventEntry) => event)
}

const firstDescription = 'How many at most, 1–500.'
const afterDescription = 'The cursor of an event: only what came after it.'

builder.objectField(RunType, 'events', (t) =>
  t.field({
    type: RunEventConnection,
    description: 'What happened to the run, oldest first.',
    args: {
      first: t.arg.int({ defaultValue: standardPage, description: firstDescription }),
      after: t.arg.string({ description: afterDescription }),
    },
    resolve: async (run, args, context) => {
      const page = await pageOfEvents(run.runId, args, context)
      if (page === undefined) throw new Error(`${run.runId} is a run, yet it has no events`)
      return page
    },
  }),
)

builder.queryField('runEvents', (t) =>
  t.field({
    type: RunEventConnection,
    nullable: true,
    description: 'What happened to a run, oldest first. null: there is no such run.',
    args: {
      id: t.arg.id({ required: true, description: 'Its run id.' }),
      first: t.arg.int({ defaultValue: standardPage, description: firstDescription }),
      after: t.arg.string({ description: afterDescription }),
    },
    resolve: (_root, { id, ...args }, context) => pageOfEvents(id, args, context),
  }),
)

builder.subscriptionField('runEvents', (t) =>
  t.field({
    type: RunEventEdge,
    description:
      'Every event of a run, from its first or after a cursor, then live: none twice, none left out. Ends when the run has ended and is cleaned up.',
    args: {
      id: t.arg.id({ required: true, description: 'Its run id.' }),
      after: t.arg.string({ description: afterDescription }),
    },
    subscribe: async (_root, { id, after }, context) => {
      await mustExist(id, context)
      return follow(context.signal, (signal) => context.control.followRunEvents(id, after ?? null, signal))
    },
    resolve: ({ event, cursor }) => ({ node: event, cursor }),
  }),
)
