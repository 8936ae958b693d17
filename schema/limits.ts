import { type LimitReport, requestedLimits } from '../src/domain/resource-limits.ts'
import { builder } from './builder.ts'
import { RunType } from './run.ts'

export const ResourceLimitsInput = builder.inputType('ResourceLimitsInput', {
  description: 'What a run may take of its machine. What is left out is as its workflow says, or not limited.',
  fields: (t) => ({
    memoryBytes: t.float({ description: 'Bytes of memory; 16 MiB at least.' }),
    pids: t.int({ description: 'Live processes and threads; 2 at least.' }),
    cpuPercent: t.float({ description: 'Per cent of one core: 150 is one and a half.' }),
    openFiles: t.int({ description: 'Open file descriptors of each process; 16 at least.' }),
    required: t.boolean({ description: 'A host that cannot enforce all of them refuses the launch. Standard: false.' }),
  }),
})

const LimitNameType = builder.enumType('LimitName', {
  description: 'What is limited.',
  values: {
    MEMORY: { value: 'memory', description: 'Memory, in bytes.' },
    PIDS: { value: 'pids', description: 'Live processes and threads.' },
    CPU: { value: 'cpu', description: 'CPU time, in per cent of one core.' },
    OPEN_FILES: { value: 'openFiles', description: 'Open file descriptors of each process.' },
  } as const satisfies Record<string, { value: LimitReport['limit']; description: string }>,
})

const LimitEnforcement = builder.enumType('LimitEnforcement', {
  description: 'What holds a run to a limit.',
  values: {
    CGROUP: { value: 'cgroup', description: 'Its cgroup: the whole tree together.' },
    RLIMIT: { value: 'rlimit', description: 'Limits that each process was started under.' },
    NONE: { value: 'none', description: 'Nothing: its host cannot.' },
  } as const satisfies Record<string, { value: LimitReport['enforcedBy']; description: string }>,
})

export const RequestedLimit = builder
  .objectRef<ReturnType<typeof requestedLimits>[number]>('RequestedLimit')
  .implement({
    description: 'A limit that runs are started with.',
    fields: (t) => ({
      limit: t.expose('limit', { type: LimitNameType, description: 'Of what.' }),
      requested: t.exposeFloat('requested', { description: 'Bytes, processes, per cent of one core, or files.' }),
    }),
  })

const RunLimit = builder
  .objectRef<Omit<LimitReport, 'enforcedBy' | 'detail'> & Partial<LimitReport>>('RunLimit')
  .implement({
    description: 'A limit that was asked for, and what became of it.',
    fields: (t) => ({
      limit: t.expose('limit', { type: LimitNameType, description: 'Of what.' }),
      requested: t.exposeFloat('requested', { description: 'Bytes, processes, per cent of one core, or files.' }),
      enforcedBy: t.field({
        type: LimitEnforcement,
        nullable: true,
        description: 'What holds the run to it; null: it has not been started yet.',
        resolve: ({ enforcedBy }) => enforcedBy ?? null,
      }),
      detail: t.string({
        nullable: true,
        description: 'For people: what exactly is limited, and what is not.',
        resolve: ({ detail }) => detail ?? null,
      }),
    }),
  })

builder.objectField(RunType, 'limits', (t) =>
  t.field({
    type: [RunLimit],
    description: 'What it may take of its machine, as far as its host can see to it.',
    resolve: ({ limits, launch }) => limits ?? requestedLimits(launch?.limits),
  }),
)
