import type { Workspace } from '../src/domain/workspace.ts'
import { builder } from './builder.ts'

const WorkspaceKind = builder.enumType('WorkspaceKind', {
  description: 'Where a run works.',
  values: {
    EXISTING: { description: 'In a directory that is there, and stays.' },
    TEMPORARY: { description: 'In an empty directory made for it; removed after its end, once it is salvaged.' },
    GIT_WORKTREE: {
      description:
        'In a worktree made for it of a git repository; removed after its end, once it is salvaged. The branch stays.',
    },
  } as const satisfies Record<Workspace['kind'], { description: string }>,
})

export const WorkspaceInput = builder.inputType('WorkspaceInput', {
  description: 'Where a run works.',
  fields: (t) => ({
    kind: t.field({ type: WorkspaceKind, required: true, description: 'An existing directory, or one made for it.' }),
    path: t.string({ description: 'Absolute; of EXISTING only.' }),
    repository: t.string({ description: 'Absolute path of a git repository on the host; of GIT_WORKTREE only.' }),
    branch: t.string({
      description:
        'Of GIT_WORKTREE only: its branch. One that is missing is made, from `origin` where that has it, else from ' +
        'the HEAD of the repository. Standard: `runwarden/` and the run id.',
    }),
  }),
})

export const WorkspaceType = builder.objectRef<Workspace>('Workspace').implement({
  description: 'Where runs work.',
  fields: (t) => ({
    kind: t.field({
      type: WorkspaceKind,
      description: 'In an existing directory, or in one made for each.',
      resolve: ({ kind }) => kind,
    }),
    path: t.string({
      nullable: true,
      description: 'Absolute; null: it is made for each run.',
      resolve: (workspace) => (workspace.kind === 'EXISTING' ? workspace.path : null),
    }),
    repository: t.string({
      nullable: true,
      description: 'Of GIT_WORKTREE: the git repository on the host.',
      resolve: (workspace) => (workspace.kind === 'GIT_WORKTREE' ? workspace.repository : null),
    }),
    branch: t.string({
      nullable: true,
      description: 'Of GIT_WORKTREE: its branch; null: one that is named after the run.',
      resolve: (workspace) => (workspace.kind === 'GIT_WORKTREE' ? workspace.branch : null),
    }),
  }),
})
