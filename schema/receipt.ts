import type { ProcessIdentity } from '../src/domain/process-identity.ts'
import type {
  Membership,
  ProofLevel,
  Receipt,
  ReceiptCheck,
  ReceiptProcess,
  RootExit,
  SignalName,
} from '../src/domain/receipt.ts'
import { builder } from './builder.ts'

export const ProofLevelType = builder.enumType('ProofLevel', {
  description: 'How strong a proof of death a host can give.',
  values: {
    CGROUP_V2: {
      value: 'cgroup-v2',
      description: 'The kernel keeps the list of members; nobody leaves it by forking.',
    },
    PROCESS_SCAN: {
      value: 'process-scan',
      description:
        'The process table is read until nobody is found; a chain of processes that replace themselves can hide.',
    },
  } as const satisfies Record<string, { value: ProofLevel; description: string }>,
})

const MembershipType = builder.enumType('Membership', {
  description: "By what a process was recognised as a member of a run's tree.",
  values: {
    ROOT: { value: 'root', description: 'It is the process that was launched or registered.' },
    CGROUP: { value: 'cgroup', description: "It is in the run's cgroup." },
    DESCENT: { value: 'descent', description: 'It descends from a member.' },
    SESSION: { value: 'session', description: 'It is in a session of the run.' },
    GROUP: { value: 'group', description: 'It is in a process group of the run.' },
    MARKER: { value: 'marker', description: "It carries the run's marker in its environment, and more speaks for it." },
    SEEN: { value: 'seen', description: 'It was a member when it was seen before.' },
  } as const satisfies Record<string, { value: Membership; description: string }>,
})

const SignalNameType = builder.enumType('SignalName', {
  description: 'A signal of the kill ladder.',
  values: {
    SIGTERM: { value: 'SIGTERM', description: 'Asks the process to end.' },
    SIGKILL: { value: 'SIGKILL', description: 'Ends the process; it cannot refuse.' },
  } as const satisfies Record<SignalName, { value: SignalName; description: string }>,
})

const ProcessIdentityType = builder.objectRef<ProcessIdentity>('ProcessIdentity').implement({
  description:
    'Which process is meant. A bare pid is not enough: pids are used again within seconds on a busy machine.',
  fields: (t) => ({
    pid: t.exposeInt('pid', { description: 'Process id.' }),
    startTime: t.exposeString('startTime', { description: 'When it began: clock ticks since boot.' }),
    bootId: t.exposeString('bootId', { description: 'Which boot of the machine.' }),
    pidNamespace: t.exposeString('pidNamespace', { description: 'Inode of its pid namespace.' }),
  }),
})

export const RootExitType = builder.objectRef<RootExit>('RootExit').implement({
  description: 'How the root process of a run ended.',
  fields: (t) => ({
    status: t.exposeInt('status', {
      nullable: true,
      description: "What a shell's `$?` would show: 0–255, 128 + n after signal n. null: nobody recorded it.",
    }),
    at: t.expose('at', { type: 'DateTime', description: 'When.' }),
  }),
})

const SentSignal = builder.objectRef<ReceiptProcess['signals'][number]>('SentSignal').implement({
  description: 'A signal that was sent to a process.',
  fields: (t) => ({
    signal: t.expose('signal', { type: SignalNameType, description: 'Which signal.' }),
    at: t.expose('at', { type: 'DateTime', description: 'When.' }),
  }),
})

const ReceiptProcessType = builder.objectRef<ReceiptProcess>('ReceiptProcess').implement({
  description: 'A process that was seen while a run was killed.',
  fields: (t) => ({
    identity: t.expose('identity', { type: ProcessIdentityType, description: 'Which process.' }),
    command: t.exposeString('command', { description: 'Its command line, redacted, at most 200 characters.' }),
    foundBy: t.expose('foundBy', { type: [MembershipType], description: 'By what it was recognised as a member.' }),
    signals: t.expose('signals', { type: [SentSignal], description: 'What was sent to it, in order.' }),
    goneAt: t.expose('goneAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it was first seen to be gone; null: it lives.',
    }),
    state: t.exposeString('state', { nullable: true, description: 'State letter of a process that lives, such as D.' }),
    wchan: t.exposeString('wchan', {
      nullable: true,
      description: 'Where in the kernel a process that lives is waiting.',
    }),
    unreaped: t.boolean({
      description: 'Dead, but its parent has not waited for it yet (a zombie).',
      resolve: (process) => process.unreaped ?? false,
    }),
  }),
})

const ReceiptCheckType = builder.objectRef<ReceiptCheck>('ReceiptCheck').implement({
  description: 'One check that a proof consists of.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Which check, such as `cgroup-empty`.' }),
    passed: t.exposeBoolean('passed', { nullable: true, description: 'null: this host cannot make the check.' }),
    detail: t.exposeString('detail', { description: 'What was found, in words.' }),
  }),
})

const ReceiptTimings = builder.objectRef<Receipt['timings']>('ReceiptTimings').implement({
  description: 'When each phase of a kill happened; null: it did not happen.',
  fields: (t) => ({
    requestedAt: t.expose('requestedAt', { type: 'DateTime', description: 'The kill was asked for.' }),
    deferredAt: t.expose('deferredAt', {
      type: 'DateTime',
      nullable: true,
      description: 'It began to wait for critical sections.',
    }),
    deferralEndedAt: t.expose('deferralEndedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'That wait ended: they were left, the limit was reached, or a stronger kill was asked for.',
    }),
    sigtermAt: t.expose('sigtermAt', { type: 'DateTime', nullable: true, description: 'The first SIGTERM.' }),
    sigkillAt: t.expose('sigkillAt', { type: 'DateTime', nullable: true, description: 'The first SIGKILL.' }),
    emptyAt: t.expose('emptyAt', {
      type: 'DateTime',
      nullable: true,
      description: 'The last process was seen to be gone.',
    }),
    provenAt: t.expose('provenAt', { type: 'DateTime', nullable: true, description: 'Every check had been made.' }),
  }),
})

export const KillReceipt = builder.objectRef<Receipt>('KillReceipt').implement({
  description: "The proof that a run's process tree is gone, or (`proven: false`) what stands in its way.",
  fields: (t) => ({
    proven: t.exposeBoolean('proven', { description: 'No process of the run is left.' }),
    level: t.expose('level', { type: ProofLevelType, description: 'How strong the proof is.' }),
    root: t.expose('root', {
      type: ProcessIdentityType,
      nullable: true,
      description: 'The root process; null: the run ended before one was launched.',
    }),
    rootExit: t.expose('rootExit', { type: RootExitType, nullable: true, description: 'How the root process ended.' }),
    processes: t.expose('processes', {
      type: [ReceiptProcessType],
      description: 'Every process seen since the kill began; at most 1,000, the rest only counted.',
    }),
    processCount: t.exposeInt('processCount', { description: 'How many processes were seen in all.' }),
    checks: t.expose('checks', { type: [ReceiptCheckType], description: 'What was checked, and with what result.' }),
    timings: t.expose('timings', { type: ReceiptTimings, description: 'When each phase happened.' }),
    notCovered: t.exposeStringList('notCovered', { description: 'What lies outside a proof of this level, in words.' }),
    json: t.field({ type: 'JSON', description: 'The whole receipt, to be kept.', resolve: (receipt) => receipt }),
  }),
})
