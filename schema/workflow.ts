import type { DefineWorkflowResult } from '../src/control/control.ts'
import { resolvePolicy } from '../src/domain/policy.ts'
import { redactArguments, redactEnv } from '../src/domain/redact.ts'
import { requestedLimits } from '../src/domain/resource-limits.ts'
import type { WorkflowVersion } from '../src/domain/workflow.ts'
import { ActorType } from './actor.ts'
import { builder, requester } from './builder.ts'
import { EnvVarInput, LabelInput, toRecord } from './launch-input.ts'
import { RequestedLimit, ResourceLimitsInput } from './limits.ts'
import { connection, given, pageRequest, wholeNumber } from './page.ts'
import { PolicyInput, PolicyType } from './policy.ts'
import { InvalidInputType, PermissionDeniedType, StoreUnavailableType } from './problem.ts'
import { Label, labelsOf } from './run-details.ts'
import { WorkspaceInput, WorkspaceType } from './workspace.ts'

const EnvVar = builder.objectRef<{ name: string; value: string }>('EnvVar').implement({
  description: 'An environment variable, redacted.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Name.' }),
    value: t.exposeString('value', { description: 'Value.' }),
  }),
})

const Workflow = builder.objectRef<WorkflowVersion>('Workflow').implement({
  description: 'A named definition, in one of its versions: how runs are started by its name.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Its name.' }),
    version: t.exposeInt('version', { description: 'From 1, without a gap; what a version says never changes.' }),
    description: t.string({
      nullable: true,
      description: 'For people.',
      resolve: ({ definition }) => definition.description,
    }),
    command: t.stringList({
      description: 'argv, redacted.',
      resolve: ({ definition }) => redactArguments(definition.launch.command),
    }),
    workspace: t.field({
      type: WorkspaceType,
      description: 'Where its runs work.',
      resolve: ({ definition }) => definition.launch.workspace,
    }),
    env: t.field({
      type: [EnvVar],
      description:
        'Variables of its runs; by name. What sounds or looks like a secret is redacted here, not in its runs.',
      resolve: ({ definition }) => labelsOf(redactEnv(definition.launch.env)),
    }),
    secretEnv: t.stringList({
      description: 'Names of variables whose values are looked up on the host at launch.',
      resolve: ({ definition }) => definition.launch.secretEnv,
    }),
    runAs: t.string({
      nullable: true,
      description: 'Account of its runs; null: that of the host agent.',
      resolve: ({ definition }) => definition.launch.runAs,
    }),
    prompt: t.string({
      nullable: true,
      description: 'What reaches its runs as RUNWARDEN_PROMPT.',
      resolve: ({ definition }) => definition.launch.prompt,
    }),
    labels: t.field({
      type: [Label],
      description: 'Labels of its runs; by name.',
      resolve: ({ definition }) => labelsOf(definition.labels),
    }),
    limits: t.field({
      type: [RequestedLimit],
      description: 'What its runs may take of their machine.',
      resolve: ({ definition }) => requestedLimits(definition.launch.limits),
    }),
    policy: t.field({
      type: PolicyType,
      description: 'The thresholds of its runs, complete.',
      resolve: ({ definition }) => resolvePolicy(definition.policy),
    }),
    definedAt: t.expose('definedAt', { type: 'DateTime', description: 'When this version was defined.' }),
    definedBy: t.expose('definedBy', { type: ActorType, description: 'Who defined this version.' }),
  }),
})

const WorkflowConnection = builder.connectionObject(
  {
    type: Workflow,
    name: 'WorkflowConnection',
    description: 'A page of workflows.',
    edgesField: { description: 'The workflows of this page.' },
  },
  { name: 'WorkflowEdge', description: 'A workflow in a list.' },
)

const standardPage = 50
const firstDescription = 'How many at most, 1–500.'
const afterDescription = 'The `endCursor` of the page before.'

builder.objectField(Workflow, 'versions', (t) =>
  t.field({
    type: WorkflowConnection,
    description: 'Every version that there is of it, newest first.',
    args: {
      first: t.arg.int({ defaultValue: standardPage, description: firstDescription }),
      after: t.arg.string({ description: afterDescription }),
    },
    resolve: async ({ name }, args, { control }) => {
      const page = await control.workflowVersions(name, pageRequest(args, standardPage))
      return connection(page, args.after, (version) => version)
    },
  }),
)

builder.queryFields((t) => ({
  workflow: t.field({
    type: Workflow,
    nullable: true,
    description: 'A workflow by its name. null: none is defined under it, or it has no such version.',
    args: {
      name: t.arg.string({ required: true, description: 'Its name.' }),
      version: t.arg.int({ description: 'Which version; without it: the one in force.' }),
    },
    resolve: (_root, { name, version }, { control }) =>
      control.workflow(name, version == null ? undefined : wholeNumber('version', version, 1)),
  }),
  workflows: t.field({
    type: WorkflowConnection,
    description: 'The workflows that are defined, each in the version that is in force, by name.',
    args: {
      first: t.arg.int({ defaultValue: standardPage, description: firstDescription }),
      after: t.arg.string({ description: afterDescription }),
    },
    resolve: async (_root, args, { control }) => {
      const page = await control.workflows(pageRequest(args, standardPage))
      return connection(page, args.after, (workflow) => workflow)
    },
  }),
}))

const DefineWorkflowInput = builder.inputType('DefineWorkflowInput', {
  description: 'How runs are started by the name of a workflow. All of it: nothing of an older version is kept.',
  fields: (t) => ({
    name: t.string({ required: true, description: '1–100 letters, digits and . _ : / -' }),
    description: t.string({ description: 'For people; at most 2,000 characters.' }),
    command: t.stringList({
      required: true,
      description: 'argv: the executable, then its arguments; no shell reads it. At most 1 MiB in all.',
    }),
    env: t.field({
      type: [EnvVarInput],
      description: 'Variables for its runs. Of one that is given twice, the last counts.',
    }),
    secretEnv: t.stringList({
      description: 'Names of variables whose values are looked up on the host at launch, and stored nowhere.',
    }),
    runAs: t.string({ description: 'Account of its runs; standard: that of the host agent.' }),
    workspace: t.field({ type: WorkspaceInput, description: 'Where its runs work; standard: TEMPORARY.' }),
    prompt: t.string({ description: 'Reaches its runs as RUNWARDEN_PROMPT; at most 120,000 bytes.' }),
    labels: t.field({
      type: [LabelInput],
      description: 'Labels of its runs. Of one that is given twice, the last counts.',
    }),
    limits: t.field({ type: ResourceLimitsInput, description: 'What its runs may take of their machine.' }),
    policy: t.field({ type: PolicyInput, description: 'Thresholds, and what is done when they are passed.' }),
  }),
})

const DefineWorkflowAnswer = builder
  .objectRef<Extract<DefineWorkflowResult, { type: 'DefineWorkflowAnswer' }>>('DefineWorkflowAnswer')
  .implement({
    description: 'The definition is in force.',
    fields: (t) => ({
      workflow: t.expose('workflow', { type: Workflow, description: 'The version that is in force.' }),
      created: t.exposeBoolean('created', {
        description: 'A new version was made of it; false: the same definition was in force already.',
      }),
    }),
  })

const DefineWorkflowResultType = builder.unionType('DefineWorkflowResult', {
  description: 'What `defineWorkflow` answers.',
  types: [DefineWorkflowAnswer, InvalidInputType, PermissionDeniedType, StoreUnavailableType],
  resolveType: (result) => result.type,
})

builder.mutationField('defineWorkflow', (t) =>
  t.field({
    type: DefineWorkflowResultType,
    description:
      'Defines a workflow, or a new version of it, for the runs that are started by its name from now on. The same ' +
      'definition again is no new version.',
    args: { input: t.arg({ type: DefineWorkflowInput, required: true, description: 'The whole definition.' }) },
    resolve: (_root, { input: { env, labels, ...input } }, context) =>
      context.control.defineWorkflow(
        requester(context),
        given({ ...input, env: env && toRecord(env), labels: labels && toRecord(labels) }),
      ),
  }),
)
