import type { RunState } from '../src/domain/run-state.ts'
import type { LeftOut, LeftOutReason } from '../src/domain/salvage.ts'
import { builder } from './builder.ts'

const LeftOutReasonType = builder.enumType('LeftOutReason', {
  description: 'Why something is not in a salvage bundle.',
  values: {
    TOO_LARGE: { description: 'There was no room for it within the bound (RUNWARDEN_SALVAGE_MAX_BYTES).' },
    IGNORED: { description: 'The repository ignores it (.gitignore).' },
    SPECIAL: { description: 'It is a socket, a pipe or a device.' },
    UNREADABLE: { description: "The run's account may not read it." },
    PATH_TOO_LONG: { description: 'Its path is longer than a program can open.' },
  } satisfies Record<LeftOutReason, { description: string }>,
})

const LeftOutType = builder.objectRef<LeftOut>('LeftOut').implement({
  description: 'Something that is not in a salvage bundle.',
  fields: (t) => ({
    path: t.exposeString('path', { description: 'In the workspace.' }),
    bytes: t.exposeFloat('bytes', { nullable: true, description: 'How large it was; null: not known.' }),
    reason: t.expose('reason', { type: LeftOutReasonType, description: 'Why.' }),
  }),
})

export const SalvageType = builder.objectRef<NonNullable<RunState['salvage']>>('Salvage').implement({
  description: "What was kept of a run's workspace before anything of it was removed.",
  fields: (t) => ({
    path: t.exposeString('path', { description: "The bundle: a directory on the run's host." }),
    branch: t.exposeString('branch', {
      nullable: true,
      description: 'Of a git worktree: the branch, which keeps its commits.',
    }),
    head: t.exposeString('head', {
      nullable: true,
      description: 'The commit that the changes are changes to; null: there was none.',
    }),
    patchBytes: t.exposeFloat('patchBytes', { description: 'Size of the changes to tracked files; 0: none.' }),
    files: t.exposeInt('files', { description: 'Files in the bundle that git does not track.' }),
    filesBytes: t.exposeFloat('filesBytes', { description: 'Their size.' }),
    outputBytes: t.exposeFloat('outputBytes', { description: "Size of the end of the run's output." }),
    leftOutCount: t.int({ description: 'What is not in it.', resolve: ({ leftOut }) => leftOut.count }),
    leftOutBytes: t.float({
      description: 'Its size, as far as it is known.',
      resolve: ({ leftOut }) => leftOut.bytes,
    }),
    leftOut: t.field({
      type: [LeftOutType],
      description: "The first 100 of what is not in it; the bundle's manifest.json names more.",
      resolve: ({ leftOut }) => leftOut.entries,
    }),
    keep: t.exposeString('keep', {
      nullable: true,
      description: 'Why the workspace stays all the same; null: nothing stands against its removal.',
    }),
    at: t.expose('at', { type: 'DateTime', description: 'When.' }),
  }),
})
