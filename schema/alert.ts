import type { Alert } from '../src/control/queries/alerts.ts'
import type { AlertChange } from '../src/control/queries/follow-alerts.ts'
import type { AlertKind, AlertSeverity } from '../src/domain/alert-events.ts'
import { builder } from './builder.ts'
import { EvidenceType } from './classification.ts'
import { follow } from './follow.ts'
import { connection, pageRequest, searchText } from './page.ts'
import { RunType } from './run.ts'

const AlertKindType = builder.enumType('AlertKind', {
  description: 'What people are alerted to.',
  values: {
    INITIALIZATION_WARNING: { description: 'No turn yet, long after the start; a kill may follow.' },
    STUCK: { description: 'The run is STUCK. Its policy says whether it is killed for that.' },
    TOTAL_TIMEOUT: { description: 'The run lasts longer than its policy allows.' },
    KILL_UNVERIFIED: { description: 'A kill could not be proven: something of the run may still live.' },
    CANARY_FAILED: { description: 'The readiness canary failed: kills on that host may not do what they should.' },
    LOW_DISK: { description: 'A file system that a host writes to is nearly full.' },
  } satisfies Record<AlertKind, { description: string }>,
})

const AlertSeverityType = builder.enumType('AlertSeverity', {
  description: 'How much a person should hurry.',
  values: {
    WARNING: { description: 'Have a look.' },
    CRITICAL: { description: 'Do something.' },
  } satisfies Record<AlertSeverity, { description: string }>,
})

const AlertType = builder.objectRef<Alert>('Alert').implement({
  description: 'Something about a run, or about a host, that people should know.',
  fields: (t) => ({
    id: t.exposeID('key', { description: 'The same for the same matter of the same run or host.' }),
    kind: t.expose('kind', { type: AlertKindType, description: 'What it is about.' }),
    severity: t.expose('severity', { type: AlertSeverityType, description: 'How much to hurry.' }),
    runId: t.exposeID('runId', { nullable: true, description: 'The run; null: it is about a host.' }),
    run: t.field({
      type: RunType,
      nullable: true,
      description: 'The run as it is now.',
      resolve: ({ runId }, _args, { control }) => (runId === null ? null : control.run(runId)),
    }),
    workflow: t.exposeString('workflow', { nullable: true, description: 'Name of its workflow; null: as above.' }),
    message: t.exposeString('message', { description: 'For people: what is the matter.' }),
    evidence: t.expose('evidence', { type: [EvidenceType], description: 'What it rests on.' }),
    raisedAt: t.expose('raisedAt', { type: 'DateTime', description: 'Since when.' }),
    resolvedAt: t.expose('resolvedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'Until when; null: it is open.',
    }),
    why: t.exposeString('why', { nullable: true, description: 'Why it is over.' }),
  }),
})

const AlertConnection = builder.connectionObject(
  {
    type: AlertType,
    name: 'AlertConnection',
    description: 'A page of alerts.',
    edgesField: { description: 'The alerts of this page.' },
  },
  { name: 'AlertEdge', description: 'An alert in a list.' },
)

builder.queryField('alerts', (t) =>
  t.field({
    type: AlertConnection,
    description: 'What people should know, newest first.',
    args: {
      open: t.arg.boolean({ description: 'true: only what is not over; false: only what is.' }),
      runId: t.arg.id({ description: 'Only about this run.' }),
      first: t.arg.int({ defaultValue: 50, description: 'How many at most, 1–500.' }),
      after: t.arg.string({ description: 'The `endCursor` of the page before.' }),
    },
    resolve: async (_root, { open, runId, ...args }, { control }) => {
      const filter = {
        ...(open != null && { open }),
        ...(runId != null && { runId: searchText('runId', runId) }),
      }
      return connection(await control.alerts(filter, pageRequest(args, 50)), args.after, (alert) => alert)
    },
  }),
)

const AlertChangeType = builder.objectRef<AlertChange>('AlertChange').implement({
  description: 'An alert that was raised or resolved.',
  fields: (t) => ({
    alert: t.expose('alert', { type: AlertType, description: 'The alert as it is then.' }),
    cursor: t.exposeString('cursor', { description: 'Give it as `after` to go on from here.' }),
  }),
})

builder.subscriptionField('alerts', (t) =>
  t.field({
    type: AlertChangeType,
    description:
      'The alerts that are open now, then each one as it is raised or resolved; after a cursor only what came after it. None twice, none left out.',
    args: {
      after: t.arg.string({ description: 'The cursor of a change: only what came after it.' }),
    },
    subscribe: (_root, { after }, { control, signal }) =>
      follow(signal, (signal) => control.followAlerts(after ?? null, signal)),
    resolve: (change) => change,
  }),
)
