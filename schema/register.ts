import type { RegisterProcessResult } from '../src/control/control.ts'
import { builder, requester } from './builder.ts'
import { given } from './page.ts'
import { PolicyInput } from './policy.ts'
import {
  InvalidInputType,
  PermissionDeniedType,
  RegistrationRefusedType,
  RunIdTakenType,
  StoreUnavailableType,
} from './problem.ts'
import { RunType } from './run.ts'

const RegisterProcessInput = builder.inputType('RegisterProcessInput', {
  description: 'A process that something else started, and that shall be supervised.',
  fields: (t) => ({
    runId: t.id({ description: 'A run id that is well-formed and unused; standard: a new one.' }),
    pid: t.int({ required: true, description: "Process id on the server's own host." }),
    workspacePath: t.string({ description: 'The directory it works in; absolute.' }),
    workflow: t.string({ description: 'Name of the workflow, 1–100 characters; standard: `adhoc`.' }),
    policy: t.field({
      type: PolicyInput,
      description: 'Its thresholds. Unless they say otherwise the monitor only alerts: it cannot know its turns.',
    }),
  }),
})

const RegisterProcessAnswer = builder
  .objectRef<Extract<RegisterProcessResult, { type: 'RegisterProcessAnswer' }>>('RegisterProcessAnswer')
  .implement({
    description: 'The process is supervised as a run.',
    fields: (t) => ({ run: t.expose('run', { type: RunType, description: 'The run as it is now.' }) }),
  })

const RegisterProcessResultType = builder.unionType('RegisterProcessResult', {
  description: 'What `registerProcess` answers.',
  types: [
    RegisterProcessAnswer,
    InvalidInputType,
    RegistrationRefusedType,
    RunIdTakenType,
    PermissionDeniedType,
    StoreUnavailableType,
  ],
  resolveType: (result) => result.type,
})

builder.mutationField('registerProcess', (t) =>
  t.field({
    type: RegisterProcessResultType,
    description:
      'Supervises a process that something else started: it can then be watched and killed like any other run.',
    args: { input: t.arg({ type: RegisterProcessInput, required: true, description: 'Which process.' }) },
    resolve: (_root, { input }, context) => context.control.registerProcess(requester(context), given(input)),
  }),
)
