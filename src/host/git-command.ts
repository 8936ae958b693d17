import { basename } from 'node:path'

/** Git commands that change a repository, here or at the other end. Those that only read may be cut off. */
const writers: ReadonlySet<string> = new Set([
  ...['add', 'am', 'apply', 'bisect', 'branch', 'checkout', 'cherry-pick', 'clean', 'clone', 'commit', 'commit-tree'],
  ...['fast-import', 'fetch', 'filter-branch', 'gc', 'index-pack', 'init', 'lfs', 'maintenance', 'merge', 'mv'],
  ...['notes', 'pack-refs', 'prune', 'pull', 'push', 'read-tree', 'rebase', 'receive-pack', 'repack', 'replace'],
  ...['reset', 'restore', 'revert', 'rm', 'send-pack', 'stash', 'submodule', 'switch', 'symbolic-ref', 'tag'],
  ...['unpack-objects', 'update-index', 'update-ref', 'worktree', 'write-tree'],
])

/** Options before the command whose value is the next argument. */
const withValue: ReadonlySet<string> = new Set([
  ...['-C', '-c', '--git-dir', '--work-tree', '--namespace', '--super-prefix', '--config-env', '--attr-source'],
])

/** What a git process, or one of its helpers, changes: such as `commit`; undefined: it is no git, or only reads. */
export function gitWriter(argv: readonly string[]): string | undefined {
  const name = basename(argv[0] ?? '')
  if (!/^git(?:-|$)/.test(name)) return undefined
  const command = name === 'git' ? commandOf(argv) : name.slice('git-'.length)
  return command !== undefined && writers.has(command) ? command : undefined
}

function commandOf(argv: readonly string[]): string | undefined {
  for (let index = 1; index < argv.length; index += 1) {
    const argument = argv[index] ?? ''
    if (!argument.startsWith('-')) return argument
    if (withValue.has(argument)) index += 1
  }
  return undefined
}
