import type { StartRunResult } from '../src/control/control.ts'
import { builder, requester } from './builder.ts'
import { EnvVarInput, LabelInput, toRecord } from './launch-input.ts'
import { ResourceLimitsInput } from './limits.ts'
import { given } from './page.ts'
import { PolicyInput } from './policy.ts'
import {
  IdempotencyConflictType,
  InvalidInputType,
  PermissionDeniedType,
  StoreUnavailableType,
  UnknownWorkflowType,
} from './problem.ts'
import { RunType } from './run.ts'
import { WorkspaceInput } from './workspace.ts'

const StartRunInput = builder.inputType('StartRunInput', {
  description: 'What to run.',
  fields: (t) => ({
    workflow: t.string({
      description:
        'Name of the workflow, 1–100 characters. Without a command it must be defined, and what is left out here is ' +
        'as its definition says; with a command it is a name to find the run by, `adhoc` if there is none.',
    }),
    workflowVersion: t.int({ description: 'An older version of the definition than the one in force.' }),
    command: t.stringList({
      description:
        'argv: the executable, then its arguments; no shell reads it. At most 1 MiB in all. Left out: as the ' +
        'workflow is defined.',
    }),
    env: t.field({
      type: [EnvVarInput],
      description:
        'Variables for the run, which win over those of its workflow. Of one that is given twice, the last counts.',
    }),
    secretEnv: t.stringList({
      description: 'Names of variables whose values are looked up on the host at launch, and stored nowhere.',
    }),
    runAs: t.string({ description: 'Account of the run; standard: that of the host agent.' }),
    workspace: t.field({ type: WorkspaceInput, description: 'Where it works; standard: TEMPORARY.' }),
    prompt: t.string({ description: 'Reaches the run as RUNWARDEN_PROMPT; at most 120,000 bytes.' }),
    labels: t.field({
      type: [LabelInput],
      description: 'Labels, which win over those of its workflow. Of one that is given twice, the last counts.',
    }),
    limits: t.field({ type: ResourceLimitsInput, description: 'What it may take of its machine.' }),
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
  types: [
    StartRunAnswer,
    InvalidInputType,
    UnknownWorkflowType,
    IdempotencyConflictType,
    PermissionDeniedType,
    StoreUnavailableType,
  ],
  resolveType: (result) => result.type,
})

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
