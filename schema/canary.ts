import type { CanaryResult } from '../src/control/canary-log.ts'
import type { CanaryStatus, RunCanaryResult } from '../src/control/control.ts'
import type { CanaryPhase, CanaryTimings, CanaryTrigger } from '../src/domain/canary-events.ts'
import { ActorType } from './actor.ts'
import { builder, requester } from './builder.ts'
import { wholeNumber } from './page.ts'
import { PermissionDeniedType, StoreUnavailableType } from './problem.ts'
import { ProofLevelType } from './receipt.ts'
import { RunType } from './run.ts'

const CanaryOutcomeType = builder.enumType('CanaryOutcome', {
  description: 'What came of a readiness canary.',
  values: {
    RUNNING: { description: 'It is under way, or its server ended and the next one has yet to settle it.' },
    PASSED: { description: 'The decoy was killed, and its receipt names and proves the end of each of its processes.' },
    FAILED: { description: 'It was not: kills on that host may not do what they should.' },
    SKIPPED: { description: 'Nothing can be said, such as because no slot was free.' },
  } satisfies Record<CanaryResult['outcome'], { description: string }>,
})

const CanaryTriggerType = builder.enumType('CanaryTrigger', {
  description: 'Why there was a canary.',
  values: {
    SCHEDULE: { value: 'schedule', description: 'It was due.' },
    REQUEST: { value: 'request', description: 'Somebody asked for it.' },
  } as const satisfies Record<string, { value: CanaryTrigger; description: string }>,
})

const CanaryPhaseType = builder.enumType('CanaryPhase', {
  description: 'Where a canary failed.',
  values: {
    START: { value: 'start', description: 'The decoy did not come to life.' },
    KILL: { value: 'kill', description: 'It did not end by the kill.' },
    PROOF: { value: 'proof', description: 'The receipt does not prove its end, or does not name all of it.' },
  } as const satisfies Record<string, { value: CanaryPhase; description: string }>,
})

const CanaryTimingsType = builder.objectRef<CanaryTimings>('CanaryTimings').implement({
  description: 'How long each phase of a canary took; null: it did not come to that.',
  fields: (t) => ({
    readyMs: t.exposeFloat('readyMs', {
      nullable: true,
      description: 'From the request of the start until all of the decoy lived.',
    }),
    sigtermMs: t.exposeFloat('sigtermMs', {
      nullable: true,
      description: 'From the request of the kill to SIGTERM, which the decoy ignores.',
    }),
    sigkillMs: t.exposeFloat('sigkillMs', {
      nullable: true,
      description: 'From the request of the kill to SIGKILL; a grace of 200 ms is in it.',
    }),
    provenMs: t.exposeFloat('provenMs', {
      nullable: true,
      description: 'From the request of the kill until nobody was left for certain.',
    }),
    answeredMs: t.exposeFloat('answeredMs', {
      nullable: true,
      description: 'What whoever asked for the kill waited for its answer.',
    }),
  }),
})

const CanaryResultType = builder.objectRef<CanaryResult>('CanaryResult').implement({
  description: 'One readiness canary.',
  fields: (t) => ({
    runId: t.exposeID('runId', { description: 'Its decoy.' }),
    run: t.field({
      type: RunType,
      nullable: true,
      description: 'The decoy as it is now; null: none was started.',
      resolve: ({ runId }, _args, { control }) => control.run(runId),
    }),
    host: t.exposeID('host', { description: 'The host that was tried.' }),
    trigger: t.expose('trigger', { type: CanaryTriggerType, description: 'Why.' }),
    requestedBy: t.expose('requestedBy', { type: ActorType, description: 'Who.' }),
    startedAt: t.expose('startedAt', { type: 'DateTime', description: 'When it began.' }),
    endedAt: t.expose('endedAt', { type: 'DateTime', nullable: true, description: 'null: it goes on.' }),
    outcome: t.expose('outcome', { type: CanaryOutcomeType, description: 'What came of it.' }),
    phase: t.expose('phase', { type: CanaryPhaseType, nullable: true, description: 'Where it failed.' }),
    message: t.exposeString('message', { nullable: true, description: 'For people: why it failed or was skipped.' }),
    level: t.expose('level', { type: ProofLevelType, nullable: true, description: 'How strong its proof was.' }),
    processes: t.exposeInt('processes', { nullable: true, description: 'How many processes the receipt names.' }),
    timings: t.expose('timings', { type: CanaryTimingsType, description: 'How long each phase took.' }),
  }),
})

const CanaryType = builder.objectRef<CanaryStatus & { results: CanaryResult[] }>('Canary').implement({
  description: 'The readiness canary: a decoy that is hard to kill is started and killed, to show that kills work.',
  fields: (t) => ({
    intervalMs: t.exposeFloat('intervalMs', { description: 'From one to the next; 0: only on request.' }),
    nextAt: t.expose('nextAt', { type: 'DateTime', nullable: true, description: 'When the next one is due.' }),
    running: t.exposeBoolean('running', { description: 'One is under way on this server.' }),
    results: t.expose('results', {
      type: [CanaryResultType],
      description: 'The last ones of all hosts, newest first.',
    }),
  }),
})

builder.queryField('canary', (t) =>
  t.field({
    type: CanaryType,
    description: 'The readiness canary and its last results.',
    args: { last: t.arg.int({ defaultValue: 20, description: 'How many results at most, 1–100.' }) },
    resolve: (_root, { last }, { control }) => control.canary(wholeNumber('last', last ?? 20, 1, 100)),
  }),
)

const RunCanaryAnswer = builder
  .objectRef<Extract<RunCanaryResult, { type: 'RunCanaryAnswer' }>>('RunCanaryAnswer')
  .implement({
    description: 'The canary has ended, and its result is on record.',
    fields: (t) => ({
      result: t.expose('result', { type: CanaryResultType, description: 'What came of it.' }),
      joined: t.exposeBoolean('joined', { description: 'One was under way already, and this is its result.' }),
    }),
  })

const RunCanaryResultType = builder.unionType('RunCanaryResult', {
  description: 'What `runCanary` answers.',
  types: [RunCanaryAnswer, PermissionDeniedType, StoreUnavailableType],
  resolveType: (result) => result.type,
})

builder.mutationField('runCanary', (t) =>
  t.field({
    type: RunCanaryResultType,
    description:
      'Starts a decoy that ignores SIGTERM and escapes its session, kills it, and answers what came of it. Takes under ' +
      'a second where all is well, half a minute at most.',
    resolve: (_root, _args, context) => context.control.runCanary(requester(context)),
  }),
)
