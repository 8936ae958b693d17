import type { OpenSection, SectionKind, SectionSource } from '../src/domain/critical-section.ts'
import type { KillDeferral } from '../src/domain/run-state.ts'
import { type SafeToKill, safeToKill } from '../src/domain/safe-to-kill.ts'
import { builder } from './builder.ts'
import { clockOf, RunType } from './run.ts'

const SectionKindType = builder.enumType('CriticalSectionKind', {
  description: 'What a run should not be cut off in.',
  values: {
    GIT_OPERATIONS: { value: 'git_operations', description: 'A commit, a push and the like.' },
    DATABASE_TRANSACTIONS: { value: 'database_transactions', description: 'A transaction that is not committed yet.' },
    FILE_OPERATIONS: { value: 'file_operations', description: 'Files that belong together, written one by one.' },
    API_CALLS: { value: 'api_calls', description: 'A request to somebody else whose answer is not there yet.' },
  } as const satisfies Record<Uppercase<SectionKind>, { value: SectionKind; description: string }>,
})

const SectionSourceType = builder.enumType('CriticalSectionSource', {
  description: 'How a critical section is known.',
  values: {
    DECLARED: { value: 'DECLARED', description: 'The run said so in its progress file.' },
    OBSERVED: { value: 'OBSERVED', description: 'Its host sees it: git at work, or one of its lock files held.' },
  } as const satisfies Record<SectionSource, { value: SectionSource; description: string }>,
})

const CriticalSection = builder.objectRef<OpenSection & { limitMs?: number }>('CriticalSection').implement({
  description: 'Something in a run that a kill should not cut off.',
  fields: (t) => ({
    kind: t.expose('kind', { type: SectionKindType, description: 'What it is.' }),
    source: t.expose('source', { type: SectionSourceType, description: 'How it is known.' }),
    since: t.expose('since', { type: 'DateTime', description: 'When it began.' }),
    detail: t.exposeString('detail', { description: 'For people: which one it is.' }),
    expectedMs: t.exposeFloat('expectedMs', {
      nullable: true,
      description: "Milliseconds that it takes, by the run's own account; nothing is decided by it.",
    }),
    limitMs: t.int({
      nullable: true,
      description: 'Milliseconds, counted from its request, that a kill waits for it at most; null: not said here.',
      resolve: ({ limitMs }) => limitMs ?? null,
    }),
  }),
})

const SafeToKillType = builder.objectRef<SafeToKill>('SafeToKill').implement({
  description: 'What a graceful kill of the run, asked for now, would wait for.',
  fields: (t) => ({
    safe: t.exposeBoolean('safe', { description: 'It would not wait.' }),
    sections: t.expose('sections', { type: [CriticalSection], description: 'The critical sections that it is in.' }),
    wouldDeferUntil: t.expose('wouldDeferUntil', {
      type: 'DateTime',
      nullable: true,
      description: 'Until when it would wait at the latest, or waits already; null: it would not.',
    }),
    message: t.exposeString('message', { description: 'For people.' }),
  }),
})

export const KillDeferralType = builder.objectRef<KillDeferral>('KillDeferral').implement({
  description: 'The wait of a kill for critical sections, before its first signal.',
  fields: (t) => ({
    since: t.expose('since', { type: 'DateTime', description: 'When it began to wait.' }),
    until: t.expose('until', { type: 'DateTime', description: 'When it goes on at the latest.' }),
    sections: t.expose('sections', { type: [CriticalSection], description: 'What it waits, or waited, for.' }),
    endedAt: t.expose('endedAt', { type: 'DateTime', nullable: true, description: 'When it went on; null: it waits.' }),
  }),
})

builder.objectField(RunType, 'safeToKill', (t) =>
  t.field({
    type: SafeToKillType,
    description:
      'Whether a kill that is not forced would have to wait for a critical section. The host of the run looks now; of a ' +
      'replay, or where that host does not answer, it is what the run had declared.',
    resolve: async (run, _args, { control, now }) => {
      const seen = run.asOf === undefined ? await control.openSections(run.runId) : undefined
      return safeToKill(run, clockOf(run, now), seen)
    },
  }),
)
