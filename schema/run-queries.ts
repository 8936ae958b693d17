import { GraphQLError } from 'graphql'
import type { Moment } from '../src/control/queries/run-at.ts'
import { builder, type Context } from './builder.ts'
import { follow } from './follow.ts'
import { badUserInput, connection, pageRequest, wholeNumber } from './page.ts'
import { RunFilterInput, RunType, runFilter } from './run.ts'

/**
 * For subscriptions, which have no null to answer with. The events are asked, not the read model: that may lag behind.
 * @throws GraphQLError RUN_NOT_FOUND
 */
export async function mustExist(id: string, { control }: Context): Promise<void> {
  if ((await control.runEvents(id, { first: 1 })) !== undefined) return
  throw new GraphQLError(`There is no run "${id.slice(0, 100)}".`, { extensions: { code: 'RUN_NOT_FOUND' } })
}

const RunConnection = builder.connectionObject(
  {
    type: RunType,
    name: 'RunConnection',
    description: 'A page of runs.',
    edgesField: { description: 'The runs of this page.' },
  },
  { name: 'RunEdge', description: 'A run in a list.' },
)

builder.queryFields((t) => ({
  run: t.field({
    type: RunType,
    nullable: true,
    description: 'A run by its id. null: there is none of that id.',
    args: { id: t.arg.id({ required: true, description: 'Its run id.' }) },
    resolve: (_root, { id }, { control }) => control.run(id),
  }),
  runs: t.field({
    type: RunConnection,
    description: 'Runs, newest first.',
    args: {
      filter: t.arg({ type: RunFilterInput, description: 'Which runs; without it: all.' }),
      first: t.arg.int({ defaultValue: 50, description: 'How many at most, 1–500.' }),
      after: t.arg.string({ description: 'The `endCursor` of the page before.' }),
    },
    resolve: async (_root, args, { control }) => {
      const page = await control.runs(runFilter(args.filter), pageRequest(args, 50))
      return connection(page, args.after, (run) => run)
    },
  }),
  runAt: t.field({
    type: RunType,
    nullable: true,
    description:
      'A run as it was: right after one of its events, or at a time (give one of the two). Other runs that it links to ' +
      'are as they are now. null: no such run or event, or it had not been requested yet.',
    args: {
      id: t.arg.id({ required: true, description: 'Its run id.' }),
      revision: t.arg.int({ description: 'Number of the event in its lifecycle; 0 is the first.' }),
      time: t.arg({
        type: 'DateTime',
        description:
          'The run as everything made it that had happened by then, in the order in which it was recorded. A time to ' +
          'come is taken for now; `asOf` says which it is.',
      }),
    },
    resolve: (_root, { id, ...moment }, { control }) => control.runAt(id, momentOf(moment)),
  }),
}))

/** @throws GraphQLError BAD_USER_INPUT */
function momentOf({ revision, time }: { revision?: number | null; time?: string | null }): Moment {
  if (revision != null && time == null) return { revision: wholeNumber('revision', revision, 0) }
  if (time != null && revision == null) return { time }
  throw badUserInput('Give either "revision" or "time", to say which moment of the run is meant.')
}

builder.subscriptionField('runChanged', (t) =>
  t.field({
    type: RunType,
    description: 'Each matching run as it is after a change, from now on.',
    args: {
      filter: t.arg({ type: RunFilterInput, description: 'Which runs; without it: all.' }),
      runId: t.arg.id({ description: 'Only this run.' }),
    },
    subscribe: async (_root, { filter, runId }, context) => {
      if (runId != null) await mustExist(runId, context)
      const wanted = { ...runFilter(filter), ...(runId != null && { runId }) }
      return follow(context.signal, (signal) => context.control.followRuns(wanted, signal))
    },
    resolve: (run) => run,
  }),
)
