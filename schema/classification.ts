import { type Classification, classify } from '../src/domain/classify.ts'
import type { Evidence, Verdict } from '../src/domain/run-events.ts'
import { builder } from './builder.ts'
import { clockOf, RunType } from './run.ts'

const VerdictType = builder.enumType('Verdict', {
  description: 'How a run fares.',
  values: {
    NORMAL: { value: 'NORMAL', description: 'As expected: its first turn came in time, or is not due yet.' },
    SLOW: { value: 'SLOW', description: 'Its first turn came late, or is overdue.' },
    STUCK: { value: 'STUCK', description: 'Still in initialization, without a turn, long after it should have begun.' },
  } as const satisfies Record<Verdict, { value: Verdict; description: string }>,
})

export const EvidenceType = builder.objectRef<Evidence>('Evidence').implement({
  description: 'A fact that a verdict rests on.',
  fields: (t) => ({
    fact: t.exposeString('fact', { description: 'Which fact: such as `turns`, `phase`, `clockMs`.' }),
    value: t.exposeString('value', { description: 'Its value; names that end in `Ms` are milliseconds.' }),
  }),
})

const ClassificationType = builder.objectRef<Classification>('Classification').implement({
  description: 'How a run fares, and why that was decided.',
  fields: (t) => ({
    verdict: t.expose('verdict', { type: VerdictType, description: 'How the run fares.' }),
    rule: t.exposeString('rule', {
      description:
        'Which rule decided: WAITING, FIRST_TURN_IN_TIME, FIRST_TURN_LATE, YOUNG, OVERDUE or STUCK_IN_INITIALIZATION.',
    }),
    explanation: t.exposeString('explanation', { description: 'For people: one sentence.' }),
    evidence: t.expose('evidence', { type: [EvidenceType], description: 'What the verdict rests on.' }),
  }),
})

builder.objectField(RunType, 'verdict', (t) =>
  t.field({
    type: ClassificationType,
    description: 'How the run fares now (in a replay: fared then); of a run that has ended, how it fared at its end.',
    resolve: (run, _args, { now }) => classify(run, clockOf(run, now), run.policy),
  }),
)
