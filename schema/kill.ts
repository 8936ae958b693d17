import type { EmergencyKillAnswer, KillRunAnswer, KillWait } from '../src/control/control.ts'
import type { KillKind } from '../src/domain/run-events.ts'
import { isTerminal, type KillState, type RunState } from '../src/domain/run-state.ts'
import { ActorType } from './actor.ts'
import { builder, requester } from './builder.ts'
import { KillDeferralType } from './critical-section.ts'
import { given } from './page.ts'
import {
  AlreadyEndedType,
  IdempotencyConflictType,
  InvalidInputType,
  PermissionDeniedType,
  RunNotFoundType,
  StoreUnavailableType,
} from './problem.ts'
import { KillReceipt } from './receipt.ts'
import { RunType } from './run.ts'
import { CleanupStatus } from './run-details.ts'

const KillKindType = builder.enumType('KillKind', {
  description: 'How hard a kill is.',
  values: {
    GRACEFUL: { value: 'graceful', description: 'Out of critical sections; then SIGTERM, a grace period, SIGKILL.' },
    FORCE: { value: 'force', description: 'SIGKILL at once.' },
    EMERGENCY: {
      value: 'emergency',
      description: 'SIGKILL at once, also while the event store is away; recorded as an emergency.',
    },
  } as const satisfies Record<string, { value: KillKind; description: string }>,
})

const Kill = builder.objectRef<KillState>('Kill').implement({
  description: 'The strongest kill that was asked for.',
  fields: (t) => ({
    kind: t.expose('kind', { type: KillKindType, description: 'How hard.' }),
    reason: t.exposeString('reason', { nullable: true, description: 'Why, in the words of whoever asked.' }),
    requestedBy: t.expose('requestedBy', { type: ActorType, description: 'Who asked.' }),
    requestedAt: t.expose('requestedAt', { type: 'DateTime', description: 'When it was asked for.' }),
    deferral: t.expose('deferral', {
      type: KillDeferralType,
      nullable: true,
      description: 'Its wait for critical sections; null: it did not wait, or has not looked yet.',
    }),
    graceMs: t.exposeInt('graceMs', { description: 'Milliseconds between SIGTERM and SIGKILL.' }),
    proofDeadlineMs: t.exposeInt('proofDeadlineMs', {
      description: 'Milliseconds after SIGKILL in which proof is looked for.',
    }),
  }),
})

const Permission = builder.objectRef<{ allowed: boolean; message: string }>('Permission').implement({
  description: 'Whether something may be done.',
  fields: (t) => ({
    allowed: t.exposeBoolean('allowed', { description: 'It may.' }),
    message: t.exposeString('message', { description: 'For people: why, or why not.' }),
  }),
})

/** The only token there is may do everything, so what is left to say is whether there is something to kill. */
function permissionToKill(run: RunState): { allowed: boolean; message: string } {
  return isTerminal(run.status)
    ? { allowed: false, message: `The run has ended (${run.status}): there is nothing to kill.` }
    : { allowed: true, message: 'The admin token may kill any run, by force too.' }
}

builder.objectFields(RunType, (t) => ({
  kill: t.expose('kill', { type: Kill, nullable: true, description: 'The kill that was asked for; null: none was.' }),
  viewerCanKill: t.field({
    type: Permission,
    description: 'Whether a kill by the viewer would be accepted now.',
    args: { force: t.arg.boolean({ defaultValue: false, description: 'A kill without grace.' }) },
    resolve: (run) => permissionToKill(run),
  }),
}))

const KillWaitType = builder.enumType('KillWait', {
  description: 'What `killRun` waits for before it answers. The kill goes on in any case.',
  values: {
    ACCEPTED: { value: 'ACCEPTED', description: 'The kill is recorded.' },
    KILLED: { value: 'KILLED', description: 'Proven that no process is left, or that it cannot be proven.' },
    CLEANED: { value: 'CLEANED', description: 'Cleaned up as well.' },
  } as const satisfies Record<KillWait, { value: KillWait; description: string }>,
})

const KillRunInput = builder.inputType('KillRunInput', {
  description: 'Which run to kill, and how.',
  fields: (t) => ({
    runId: t.id({ required: true, description: 'The run.' }),
    force: t.boolean({
      defaultValue: false,
      description: 'SIGKILL at once: no critical section is waited for, no grace.',
    }),
    emergency: t.boolean({
      defaultValue: false,
      description:
        'Like `force`, and passes every limit. The owner of the data directory can ask for it while the event store is ' +
        'away, too: the answer is then an EmergencyKillAnswer.',
    }),
    reason: t.string({ description: 'Why, for the record; at most 2,000 characters.' }),
    waitFor: t.field({ type: KillWaitType, defaultValue: 'CLEANED', description: 'What to wait for.' }),
    timeoutMs: t.int({ description: 'Milliseconds to wait at most. The answer then says what goes on.' }),
    idempotencyKey: t.string({
      description: 'A repeated request with the same key gets the first result; at most 200 characters.',
    }),
  }),
})

const KillRunAnswerType = builder.objectRef<KillRunAnswer>('KillRunAnswer').implement({
  description: 'The kill is accepted; this is how far it has come.',
  fields: (t) => ({
    success: t.exposeBoolean('success', { description: 'A receipt proves that no process of the run is left.' }),
    runId: t.exposeID('runId', { description: 'The run.' }),
    killedAt: t.expose('killedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it was proven to be gone; null: it is not yet.',
    }),
    cleanupStatus: t.expose('cleanupStatus', { type: CleanupStatus, description: 'How far the cleanup is.' }),
    message: t.exposeString('message', { description: 'For people; says what goes on when the wait expired.' }),
    joined: t.exposeBoolean('joined', { description: 'Another kill was under way already, and this one joined it.' }),
    waitExpired: t.exposeBoolean('waitExpired', { description: '`timeoutMs` passed before what was waited for.' }),
    run: t.expose('run', { type: RunType, description: 'The run as it is now.' }),
  }),
})

const EmergencyKillAnswerType = builder.objectRef<EmergencyKillAnswer>('EmergencyKillAnswer').implement({
  description:
    'An emergency kill while the event store is away: this is what the host of the run knows by itself. The events of ' +
    'the kill follow when the store is back, with the times at which they happened.',
  fields: (t) => ({
    success: t.exposeBoolean('success', { description: 'A receipt proves that no process of the run is left.' }),
    runId: t.exposeID('runId', { description: 'The run.' }),
    killedAt: t.expose('killedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it was proven to be gone; null: it is not yet.',
    }),
    cleanupStatus: t.expose('cleanupStatus', { type: CleanupStatus, description: 'How far the cleanup is.' }),
    message: t.exposeString('message', { description: 'For people; says what goes on when the wait expired.' }),
    joined: t.exposeBoolean('joined', {
      description: 'Another emergency kill was under way already, or nothing of the run was left.',
    }),
    waitExpired: t.exposeBoolean('waitExpired', { description: '`timeoutMs` passed before what was waited for.' }),
    receipt: t.expose('receipt', {
      type: KillReceipt,
      nullable: true,
      description: 'The proof, or what stands in its way; null: neither yet.',
    }),
  }),
})

const KillRunResultType = builder.unionType('KillRunResult', {
  description: 'What `killRun` answers; EmergencyKillAnswer only while the event store is away.',
  types: [
    KillRunAnswerType,
    EmergencyKillAnswerType,
    InvalidInputType,
    RunNotFoundType,
    AlreadyEndedType,
    IdempotencyConflictType,
    PermissionDeniedType,
    StoreUnavailableType,
  ],
  resolveType: (result) => result.type,
})

builder.mutationField('killRun', (t) =>
  t.field({
    type: KillRunResultType,
    description: 'Ends a run, every process of it, and proves it. A client that goes away ends its wait, not the kill.',
    args: { input: t.arg({ type: KillRunInput, required: true, description: 'Which run, and how.' }) },
    resolve: (_root, { input }, context) => context.control.killRun(requester(context), given(input), context.signal),
  }),
)
