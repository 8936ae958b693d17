import type { StartRunResult } from '../src/control/control.ts'
import { builder, requester } from './builder.ts'
import { given } from './page.ts'
import { PolicyInput } from './policy.ts'
import { IdempotencyConflictType, InvalidInputType, PermissionDeniedType, StoreUnavailableType } from './problem.ts'
import { RunType } from './run.ts'

const EnvVarInput = builder.inputType('EnvVarInput', {
  description: 'An environment variable. It is recorded as it is: nothing secret belongs here.',
  fields: (t) => ({
    name: t.string({ required: true, description: 'Letters, digits and _; not beginning with RUNWARDEN_.' }),
    value: t.string({ required: true, description: 'Value.' }),
  }),
})

const LabelInput = builder.inputType('LabelInput', {
  description: 'A name and a value for your own use.',
  fields: (t) => ({
    name: t.string({ required: true, description: '1–100 characters.' }),
    value: t.string({ required: true, description: 'At most 500 characters.' }),
  }),
})

const WorkspaceKind = builder.enumType('WorkspaceKind', {
  description: 'Where a run works.',
  values: {
    EXISTING: { description: 'In a directory that is there, and stays.' },
    TEMPORARY: { description: 'In an empty directory made for it.' },
  },
})

const WorkspaceInput = builder.inputType('WorkspaceInput', {
  description: 'Where the run works.',
  fields: (t) => ({
    kind: t.field({ type: WorkspaceKind, required: true, description: 'An existing directory, or one made for it.' }),
    path: t.string({ description: 'Absolute; of EXISTING only.' }),
  }),
})

const StartRunInput = builder.inputType('StartRunInput', {
  description: 'What to run.',
  fields: (t) => ({
    workflow: t.string({ description: 'Name of the workflow, 1–100 characters; standard: `adhoc`.' }),
    command: t.stringList({
      required: true,
      description: 'argv: the executable, then its arguments; no shell reads it. At most 1 MiB in all.',
    }),
    env: t.field({
      type: [EnvVarInput],
      description: 'Variables for the run. Of one that is given twice, the last counts.',
    }),
    secretEnv: t.stringList({
      description: 'Names of variables whose values are looked up on the host at launch, and stored nowhere.',
    }),
    runAs: t.string({ description: 'Account of the run; standard: that of the host agent.' }),
    workspace: t.field({ type: WorkspaceInput, description: 'Where it works; standard: TEMPORARY.' }),
    prompt: t.string({ description: 'Reaches the run as RUNWARDEN_PROMPT; at most 120,000 bytes.' }),
    labels: t.field({ type: [LabelInput], description: 'Labels. Of one that is given twice, the last counts.' }),
    policy: t.field({ type: PolicyInput, description: 'Its thresholds, and what is done when they are passed.' }),
    idempotencyKey: t.string({
      description: 'A repeated request with the same key gets the run of the first; at most 200 characters.',
    }),
  }),
})

const StartRunAnswer = builder
  .objectRef<Extract<StartRunResult, { type: 'StartRunAnswer' }>>('StartRunAnswer')
  .implement({
    description: 'The run is recorded, and is launched as soon as its host has a free slot.',
    fields: (t) => ({ run: t.expose('run', { type: RunType, description: 'The run as it is now.' }) }),
  })

const StartRunResultType = builder.unionType('StartRunResult', {
  description: 'What `startRun` answers.',
  types: [StartRunAnswer, InvalidInputType, IdempotencyConflictType, PermissionDeniedType, StoreUnavailableType],
  resolveType: (result) => result.type,
})

type Named = { name: string; value: string }

/** GraphQL has no maps; control takes them as such. */
const toRecord = (pairs: readonly Named[]) => Object.fromEntries(pairs.map(({ name, value }) => [name, value]))

builder.mutationField('startRun', (t) =>
  t.field({
    type: StartRunResultType,
    description: 'Starts a run.',
    args: { input: t.arg({ type: StartRunInput, required: true, description: 'What to run.' }) },
    resolve: (_root, { input: { env, labels, ...input } }, context) =>
      context.control.startRun(
        requester(context),
        given({ ...input, env: env && toRecord(env), labels: labels && toRecord(labels) }),
      ),
  }),
)
