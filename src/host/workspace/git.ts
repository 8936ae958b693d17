import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Account } from '../accounts.ts'
import { type CommandOptions, type CommandResult, command } from './command.ts'

/**
 * Nothing of anybody's configuration, no network, no questions. A repository's own configuration is not to be trusted
 * either: the run may have written it.
 */
const environment = {
  HOME: '/nonexistent',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_SYSTEM: '/dev/null',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_ATTR_NOSYSTEM: '1',
  GIT_TERMINAL_PROMPT: '0',
  GIT_ASKPASS: '/bin/false',
  GIT_SSH_COMMAND: '/bin/false',
  GIT_NO_LAZY_FETCH: '1',
  GIT_NO_REPLACE_OBJECTS: '1',
  // An empty list: no protocol is allowed.
  GIT_ALLOW_PROTOCOL: '',
  GIT_PAGER: 'cat',
  GIT_EDITOR: '/bin/false',
}

/** Wins over the configuration of a repository. */
const overrides = [
  ...['core.hooksPath=/dev/null', 'core.fsmonitor=false', 'core.pager=cat', 'core.untrackedCache=false'],
  ...['diff.external=', 'credential.helper=', 'gc.auto=0', 'maintenance.auto=false', 'submodule.recurse=false'],
  // The account that may use a repository is not always its owner; nothing of it is executed here.
  'safe.directory=*',
].flatMap((setting) => ['-c', setting])

const gitTimeoutMs = 60_000
const outputBytesMax = 64 * 1024 * 1024

export type Git = (args: readonly string[], more?: Partial<CommandOptions>) => Promise<CommandResult>

/**
 * Git in a repository, with its own configuration, for what executes nothing and looks into no file: branches and
 * worktrees. @param account undefined: ours
 */
export function gitIn(repository: string, account: Account | undefined, signal?: AbortSignal): Git {
  return (args, more) =>
    command({
      argv: ['git', '-C', repository, ...overrides, ...args],
      ...{ account, environment, outputBytesMax, timeoutMs: gitTimeoutMs, signal, ...more },
    })
}

export type Objects = {
  /** What HEAD says: `ref: refs/…`, or a commit. */
  head: string
  isSha256: boolean
  /** Where refs and objects are. */
  commonDirectory: string
  index: string
  workTree: string
}

/**
 * Git on the files of a work tree, with its objects, refs and index, but a directory and a configuration of our own:
 * no filter, textconv, external diff, hook or fsmonitor can be defined anywhere, whatever .gitattributes asks for.
 * @param directory made anew; the run's account may read it and nothing more
 */
export function gitOn(directory: string, objects: Objects, account: Account | undefined, signal?: AbortSignal): Git {
  const { head, isSha256, commonDirectory, index, workTree } = objects
  rmSync(directory, { recursive: true, force: true })
  for (const name of ['', 'objects']) makeReadable(join(directory, name))
  const format = isSha256 ? '[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectformat = sha256\n' : ''
  writeFileSync(join(directory, 'config'), `${format}[core]\n\tbare = false\n`)
  writeFileSync(join(directory, 'HEAD'), `${head}\n`)
  for (const name of ['refs', 'packed-refs', 'shallow']) symlinkSync(join(commonDirectory, name), join(directory, name))
  for (const name of ['config', 'HEAD']) chmodSync(join(directory, name), 0o644)
  const own = {
    ...environment,
    GIT_DIR: directory,
    GIT_WORK_TREE: workTree,
    GIT_OBJECT_DIRECTORY: join(commonDirectory, 'objects'),
    GIT_INDEX_FILE: index,
  }
  return (args, more) =>
    command({
      argv: ['git', '-C', workTree, ...overrides, ...args],
      ...{ account, environment: own, outputBytesMax, timeoutMs: gitTimeoutMs, signal, ...more },
    })
}

function makeReadable(directory: string): void {
  mkdirSync(directory)
  // Whatever this process's umask is.
  chmodSync(directory, 0o755)
}
