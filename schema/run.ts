import type { RunFilter } from '../src/control/queries/run-filter.ts'
import { redactArguments } from '../src/domain/redact.ts'
import {
  cacheReadRatio,
  holdsSlot,
  isTerminal,
  type KillPhase,
  type RunState,
  type RunStatus,
} from '../src/domain/run-state.ts'
import { ActorType } from './actor.ts'
import { builder } from './builder.ts'
import { LabelInput, toRecord } from './launch-input.ts'
import { badUserInput, searchText } from './page.ts'
import { PolicyType } from './policy.ts'
import { KillReceipt, RootExitType } from './receipt.ts'
import { CleanupType, FailureType, Label, labelsOf, NoticeType, OutOfMemoryType, UsageType } from './run-details.ts'
import { SalvageType } from './salvage.ts'
import { WorkspaceType } from './workspace.ts'

export const RunStatusType = builder.enumType('RunStatus', {
  description: 'Where a run is in its life.',
  values: {
    REQUESTED: { value: 'REQUESTED', description: 'Asked for; it waits for its launch.' },
    RUNNING: { value: 'RUNNING', description: 'Its process lives.' },
    PAUSED: { value: 'PAUSED', description: 'Its processes are frozen.' },
    KILLING: { value: 'KILLING', description: 'A kill is under way.' },
    KILLED: { value: 'KILLED', description: 'Killed, with a receipt that proves that no process is left.' },
    KILL_UNVERIFIED: {
      value: 'KILL_UNVERIFIED',
      description: 'Killed, but not proven to be gone: something of it may still live. It keeps its slot.',
    },
    COMPLETED: { value: 'COMPLETED', description: 'Ended by itself, with success.' },
    FAILED: { value: 'FAILED', description: 'Ended by itself, or never began, without success.' },
    LOST: { value: 'LOST', description: 'Proven to be gone; what came of it nobody knows.' },
  } as const satisfies Record<RunStatus, { value: RunStatus; description: string }>,
})

const KillPhaseType = builder.enumType('KillPhase', {
  description: 'How far the kill of a run is.',
  values: {
    NONE: { value: 'NONE', description: 'No kill was asked for.' },
    DEFERRED: { value: 'DEFERRED', description: 'It waits for the run to leave a critical section.' },
    TERMINATING: { value: 'TERMINATING', description: 'SIGTERM was sent; the grace period runs.' },
    KILLING: { value: 'KILLING', description: 'SIGKILL is sent.' },
    VERIFYING: { value: 'VERIFYING', description: 'Proof is looked for that nobody is left.' },
    CLEANING: { value: 'CLEANING', description: 'Proven; the cleanup is under way.' },
    DONE: { value: 'DONE', description: 'Proven and cleaned up.' },
  } as const satisfies Record<KillPhase, { value: KillPhase; description: string }>,
})

const RunOrigin = builder.enumType('RunOrigin', {
  description: 'Where a run came from.',
  values: {
    LAUNCHED: { value: 'launched', description: 'Runwarden launched it.' },
    REGISTERED: { value: 'registered', description: 'Something else launched it; it was registered afterwards.' },
  } as const satisfies Record<string, { value: RunState['origin']; description: string }>,
})

/** A replayed run says of when it is; what depends on the clock goes by that. */
export type ShownRun = RunState & { asOf?: string; heartbeatsRetired?: boolean }

/** The moment at which the run is looked at, in milliseconds since the epoch. */
export const clockOf = ({ asOf }: ShownRun, now: () => number) => (asOf === undefined ? now() : Date.parse(asOf))

export const RunType = builder.objectRef<ShownRun>('Run')

builder.node(RunType, {
  description: 'One execution of a workflow, and everything that is known of it.',
  id: { resolve: (run) => run.runId, description: 'The run id: `run_` and 12 hex digits. Never used twice.' },
  loadOne: (id, { control }) => control.run(id),
  fields: (t) => ({
    workflow: t.exposeString('workflow', { description: 'Name of the workflow.' }),
    workflowVersion: t.exposeInt('workflowVersion', {
      nullable: true,
      description: 'Version of the definition that it was started with; null: it was started from a command line.',
    }),
    origin: t.expose('origin', { type: RunOrigin, description: 'Whether Runwarden launched it.' }),
    status: t.expose('status', { type: RunStatusType, description: 'Where the run is in its life.' }),
    killPhase: t.expose('killPhase', { type: KillPhaseType, description: 'How far its kill is.' }),
    phase: t.exposeString('phase', {
      nullable: true,
      description: '`initialization` until the run says otherwise; then what it last said.',
    }),
    turns: t.exposeInt('turns', { description: 'Turns of the agent that are completed.' }),
    progressPercent: t.exposeFloat('progressPercent', {
      nullable: true,
      description: 'Per cent, 0–100, by its own account; null: it has not said.',
    }),
    usage: t.expose('usage', { type: UsageType, nullable: true, description: 'Tokens and cost, by its own account.' }),
    cacheReadRatio: t.float({
      nullable: true,
      description: 'Share of the input tokens that came from a cache, 0–1; null: no input is known.',
      resolve: (run) => cacheReadRatio(run.usage),
    }),
    pid: t.int({
      nullable: true,
      description: 'Process id of its root; null while it does not live: not started yet, or ended.',
      resolve: (run) => (isTerminal(run.status) || run.rootExit !== null ? null : (run.root?.pid ?? null)),
    }),
    command: t.stringList({
      nullable: true,
      description: 'argv, redacted; null: something else launched it.',
      resolve: (run) => (run.launch === null ? null : redactArguments(run.launch.command)),
    }),
    workspacePath: t.exposeString('workspacePath', {
      nullable: true,
      description: 'Directory that it works in, on its host; null: not made yet, or not known.',
    }),
    workspace: t.field({
      type: WorkspaceType,
      nullable: true,
      description: 'What kind of directory it works in; null: something else launched it.',
      resolve: (run) => run.launch?.workspace,
    }),
    salvage: t.expose('salvage', {
      type: SalvageType,
      nullable: true,
      description: 'What was kept of its workspace before that was removed; null: nothing was, or not yet.',
    }),
    host: t.exposeID('host', { description: 'The host that supervises it.' }),
    labels: t.field({
      type: [Label],
      description: 'What whoever started it attached to it; by name.',
      resolve: ({ labels }) => labelsOf(labels),
    }),
    policy: t.expose('policy', { type: PolicyType, description: 'Its thresholds.' }),
    requestedBy: t.expose('requestedBy', { type: ActorType, description: 'Who asked for it.' }),
    requestedAt: t.expose('requestedAt', { type: 'DateTime', description: 'When it was asked for.' }),
    startedAt: t.expose('startedAt', { type: 'DateTime', nullable: true, description: 'When its root process began.' }),
    endedAt: t.expose('endedAt', { type: 'DateTime', nullable: true, description: 'When it was known to have ended.' }),
    lastHeartbeatAt: t.expose('lastHeartbeatAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When its host last recorded what its processes do.',
    }),
    lastOutput: t.exposeString('lastOutput', {
      nullable: true,
      description: 'Its last line of output that is not blank, redacted, at most 500 characters.',
    }),
    outputBytes: t.exposeFloat('outputBytes', { description: 'Bytes of output so far.' }),
    processes: t.exposeInt('processes', {
      nullable: true,
      description: 'Live processes of its tree at the last heartbeat.',
    }),
    cpuMs: t.exposeFloat('cpuMs', { nullable: true, description: 'Milliseconds of CPU time that its tree has used.' }),
    rssBytes: t.exposeFloat('rssBytes', {
      nullable: true,
      description: 'Bytes of memory its tree held resident at the last heartbeat.',
    }),
    openFiles: t.exposeInt('openFiles', {
      nullable: true,
      description: 'Open file descriptors of its tree at the last heartbeat; null: they may not be read.',
    }),
    ioReadBytes: t.exposeFloat('ioReadBytes', {
      nullable: true,
      description: 'Bytes that its tree has read from storage, as sampled; null: it may not be read.',
    }),
    ioWriteBytes: t.exposeFloat('ioWriteBytes', {
      nullable: true,
      description: 'Bytes that its tree has written to storage, as sampled; null: it may not be read.',
    }),
    peakRssBytes: t.exposeFloat('peakRssBytes', {
      nullable: true,
      description: 'The most bytes it held resident at a heartbeat.',
    }),
    peakProcesses: t.exposeInt('peakProcesses', { nullable: true, description: 'The most live processes it had.' }),
    peakOpenFiles: t.exposeInt('peakOpenFiles', {
      nullable: true,
      description: 'The most open file descriptors it had at a heartbeat.',
    }),
    outOfMemory: t.expose('outOfMemory', {
      type: OutOfMemoryType,
      nullable: true,
      description:
        'Known once it has ended. null: the kernel killed none of its processes for memory, or its host cannot tell, which takes the memory controller of cgroup v2.',
    }),
    holdsSlot: t.boolean({
      description: "Whether it takes up a place in its host's capacity.",
      resolve: (run) => holdsSlot(run),
    }),
    notices: t.expose('notices', { type: [NoticeType], description: 'The last 20 notices; all are among its events.' }),
    rootExit: t.expose('rootExit', { type: RootExitType, nullable: true, description: 'How its root process ended.' }),
    failure: t.expose('failure', {
      type: FailureType,
      nullable: true,
      description: 'Why it failed; null: it did not.',
    }),
    receipt: t.expose('receipt', {
      type: KillReceipt,
      nullable: true,
      description: 'The proof that nothing of it is left; null while there is none.',
    }),
    cleanup: t.expose('cleanup', { type: CleanupType, description: 'What was tidied up after it.' }),
    lateResults: t.exposeInt('lateResults', {
      description: 'How many facts came in after its end, when they could change nothing.',
    }),
    revision: t.exposeInt('revision', {
      description: 'Number of its last lifecycle event that is folded in here; 0 is the first.',
    }),
    asOf: t.expose('asOf', {
      type: 'DateTime',
      nullable: true,
      description:
        'Of a replay: the moment that it shows. Its verdict and every age are those of then. null: the run as it is now.',
    }),
    heartbeatsRetired: t.boolean({
      resolve: ({ heartbeatsRetired }) => heartbeatsRetired ?? false,
      description:
        'Of a replay: heartbeats from before that moment are no longer kept, so its progress, usage, output and ' +
        'resources are not those of then. A run as it is now has them all, from the summary at its end.',
    }),
  }),
})

const RunFilterInput = builder.inputType('RunFilter', {
  description: 'Which runs. All conditions must hold; one that is left out always does.',
  fields: (t) => ({
    status: t.field({ type: [RunStatusType], description: 'Its status is one of these.' }),
    workflow: t.string({ description: 'Its workflow has exactly this name.' }),
    live: t.boolean({ description: 'true: it has not ended; false: it has.' }),
    canary: t.boolean({ description: 'true: only decoys of the readiness canary; false: none of them.' }),
    labels: t.field({ type: [LabelInput], description: 'It has all of these labels.' }),
    idPrefix: t.string({ description: 'Its id begins like this: `run_` and at least 4 hex digits.' }),
  }),
})

type RunFilterArgument = { [Key in keyof Omit<RunFilter, 'labels'>]?: RunFilter[Key] | null } & {
  labels?: { name: string; value: string }[] | null
}

/** The filter without what was not given. */
export const runFilter = (filter: RunFilterArgument | null | undefined): RunFilter => ({
  ...(filter?.status != null && { status: filter.status }),
  ...(filter?.workflow != null && { workflow: searchText('filter.workflow', filter.workflow) }),
  ...(filter?.live != null && { live: filter.live }),
  ...(filter?.canary != null && { canary: filter.canary }),
  ...(filter?.labels != null && { labels: labelsFilter(filter.labels) }),
  ...(filter?.idPrefix != null && { idPrefix: idPrefix(filter.idPrefix) }),
})

/** @throws GraphQLError BAD_USER_INPUT */
function labelsFilter(labels: { name: string; value: string }[]): Record<string, string> {
  for (const text of labels.flatMap(({ name, value }) => [name, value])) searchText('filter.labels', text)
  const wanted = toRecord(labels)
  if (labels.every(({ name, value }) => wanted[name] === value)) return wanted
  throw badUserInput('"filter.labels" has one name with two values, which no run has.')
}

/** @throws GraphQLError BAD_USER_INPUT */
function idPrefix(text: string): string {
  if (/^run_[0-9a-f]{4,12}$/.test(text)) return text
  throw badUserInput('"filter.idPrefix" is not "run_" and 4 to 12 lower-case hex digits.')
}

export { RunFilterInput }
