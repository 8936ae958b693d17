import type { AuditEntry } from '../src/control/queries/audit.ts'
import { ActorType } from './actor.ts'
import { builder } from './builder.ts'
import { connection, pageRequest, searchText } from './page.ts'

const AuditDecision = builder.enumType('AuditDecision', {
  description: 'Whether an attempt was let through.',
  values: {
    ALLOWED: { value: 'allowed', description: 'It was.' },
    DENIED: { value: 'denied', description: 'It was refused.' },
  } as const satisfies Record<string, { value: AuditEntry['decision']; description: string }>,
})

const AuditEntryType = builder.objectRef<AuditEntry>('AuditEntry').implement({
  description: 'Somebody tried to do something; recorded before it was done, also where it was refused.',
  fields: (t) => ({
    id: t.exposeID('attemptId', { description: 'A UUID.' }),
    at: t.expose('at', { type: 'DateTime', description: 'When it was tried.' }),
    actor: t.expose('actor', { type: ActorType, description: 'Who tried.' }),
    action: t.exposeString('action', { description: 'What, such as `killRun`.' }),
    runId: t.exposeID('runId', { nullable: true, description: 'On which run; null: on none.' }),
    target: t.exposeString('target', { nullable: true, description: 'What it was aimed at, as it was given.' }),
    reason: t.exposeString('reason', { nullable: true, description: 'Why, in their words.' }),
    details: t.expose('details', {
      type: 'JSON',
      description: 'What else matters for the record, such as `{force: true}`.',
    }),
    decision: t.expose('decision', { type: AuditDecision, description: 'Whether it was let through.' }),
    why: t.exposeString('why', { description: 'Why it was decided so.' }),
    outcome: t.exposeString('outcome', {
      nullable: true,
      description: 'What came of it, such as `ACCEPTED` or `RunNotFound`; null: not known yet.',
    }),
    detail: t.exposeString('detail', { nullable: true, description: 'What came of it, in words.' }),
    completedAt: t.expose('completedAt', { type: 'DateTime', nullable: true, description: 'When that was known.' }),
    correlationId: t.exposeString('correlationId', { description: 'The same for everything that the attempt led to.' }),
  }),
})

const AuditConnection = builder.connectionObject(
  {
    type: AuditEntryType,
    name: 'AuditConnection',
    description: 'A page of the audit.',
    edgesField: { description: 'The attempts of this page.' },
  },
  { name: 'AuditEdge', description: 'An attempt in a list.' },
)

builder.queryField('audit', (t) =>
  t.field({
    type: AuditConnection,
    description: 'Who tried to do what, newest first.',
    args: {
      runId: t.arg.id({ description: 'Only on this run.' }),
      first: t.arg.int({ defaultValue: 50, description: 'How many at most, 1–500.' }),
      after: t.arg.string({ description: 'The `endCursor` of the page before.' }),
    },
    resolve: async (_root, { runId, ...args }, { control }) => {
      const page = await control.audit(
        runId == null ? {} : { runId: searchText('runId', runId) },
        pageRequest(args, 50),
      )
      return connection(page, args.after, (entry) => entry)
    },
  }),
)
