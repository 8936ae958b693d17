import type { TimelineEntry } from '../src/control/queries/timeline.ts'
import type { PhaseKind, RunPhase } from '../src/domain/timeline.ts'
import { ActorType } from './actor.ts'
import { builder } from './builder.ts'
import { connection, pageRequest, wholeNumber } from './page.ts'
import { clockOf, RunType, type ShownRun } from './run.ts'

const PhaseKindType = builder.enumType('PhaseKind', {
  description: 'What a stretch of a run’s life was.',
  values: {
    WAITING: { value: 'WAITING', description: 'Asked for; it waited for a slot, and for its launch.' },
    WORKING: { value: 'WORKING', description: 'It worked: `initialization`, then each phase that it reported.' },
    PAUSED: { value: 'PAUSED', description: 'Its processes stood still.' },
    KILL_REQUESTED: { value: 'KILL_REQUESTED', description: 'A kill was asked for; nothing was signalled yet.' },
    DEFERRED: { value: 'DEFERRED', description: 'The kill waited for critical sections.' },
    TERMINATING: { value: 'TERMINATING', description: 'After SIGTERM: what it got to end by itself.' },
    KILLING: { value: 'KILLING', description: 'After SIGKILL.' },
    VERIFYING: { value: 'VERIFYING', description: 'Proof was looked for that nobody is left.' },
    CLEANING: { value: 'CLEANING', description: 'Proven dead; what it left was tidied up.' },
  } as const satisfies Record<PhaseKind, { value: PhaseKind; description: string }>,
})

/** With the moment that the run is looked at. */
type ShownPhase = RunPhase & { clock: number }

const RunPhaseType = builder.objectRef<ShownPhase>('RunPhase').implement({
  description: 'A stretch of a run’s life, and how long it took.',
  fields: (t) => ({
    kind: t.expose('kind', { type: PhaseKindType, description: 'What it was.' }),
    name: t.exposeString('name', { nullable: true, description: 'Of WORKING: the phase that the run reported.' }),
    from: t.expose('from', { type: 'DateTime', description: 'When it began.' }),
    to: t.expose('to', { type: 'DateTime', nullable: true, description: 'When it was over; null: it goes on.' }),
    durationMs: t.float({
      description: 'Milliseconds that it took, or has taken so far.',
      resolve: ({ from, to, clock }) => Math.max(0, (to === null ? clock : Date.parse(to)) - Date.parse(from)),
    }),
  }),
})

const TimelineEntryType = builder.objectRef<TimelineEntry>('TimelineEntry').implement({
  description: 'Something that happened to a run, as people read it.',
  fields: (t) => ({
    revision: t.exposeInt('revision', { description: 'Number of the event in the run’s lifecycle; 0 is the first.' }),
    type: t.exposeString('type', { description: 'What happened, such as `RunStarted` or `SigkillSent`.' }),
    at: t.expose('at', { type: 'DateTime', description: 'When it happened, by the clock of whoever wrote it.' }),
    actor: t.expose('actor', { type: ActorType, description: 'Who caused it.' }),
    summary: t.exposeString('summary', { description: 'One readable line.' }),
    late: t.boolean({
      description: 'It came too late (nearly always: after the end of the run), was kept, and changed nothing.',
      resolve: ({ type }) => type === 'LateResultObserved',
    }),
  }),
})

const TimelineConnection = builder.connectionObject(
  {
    type: TimelineEntryType,
    name: 'TimelineConnection',
    description: 'A page of a timeline.',
    edgesField: { description: 'What happened.' },
  },
  { name: 'TimelineEdge', description: 'An entry of a timeline.' },
)

/** A replay knows nothing of what came after it. */
const upTo = ({ asOf, revision }: ShownRun) => (asOf === undefined ? null : revision)

const latestMax = 500

builder.objectFields(RunType, (t) => ({
  timeline: t.field({
    type: TimelineConnection,
    description: 'What happened to the run and who caused it, oldest first; of a replay, until then.',
    args: {
      first: t.arg.int({ defaultValue: 100, description: 'How many at most, 1–500.' }),
      after: t.arg.string({ description: 'The cursor of an entry: only what came after it.' }),
    },
    resolve: async (run, args, { control }) => {
      const page = await control.runTimeline(run.runId, pageRequest(args, 100), upTo(run))
      return connection(page, args.after, (entry) => entry)
    },
  }),
  phases: t.field({
    type: [RunPhaseType],
    description:
      'How long what took, in the order in which it began; of a replay, until then. What the run did and how it came ' +
      'to its end overlap: while it is killed, it may still work.',
    args: {
      last: t.arg.int({ defaultValue: 100, description: 'How many of the latest at most, 1–500.' }),
    },
    resolve: async (run, { last }, { control, now }) => {
      const size = wholeNumber('last', last ?? 100, 1, latestMax)
      const phases = await control.runPhases(run.runId, upTo(run))
      const clock = clockOf(run, now)
      return phases.slice(-size).map((phase) => ({ ...phase, clock }))
    },
  }),
}))
