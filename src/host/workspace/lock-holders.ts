import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { findProcesses, isInAny, type Occupant, workingDirectory } from './occupants.ts'

/**
 * Processes that may hold a lock in one of these git directories: whoever has a file open in it, and any git whose
 * working directory, arguments or environment lead there. Only `/proc` is read; of other accounts' only as root.
 * @param workTrees those of the repository
 */
export function lockHolders(directories: readonly string[], workTrees: readonly string[]): Promise<Occupant[]> {
  const places = [...directories, ...directories.map((directory) => dirname(directory)), ...workTrees]
  return findProcesses((pid) => hasOpen(pid, directories) || isGitAt(pid, places))
}

function hasOpen(pid: number, directories: readonly string[]): boolean {
  const files = read(() => readdirSync(`/proc/${pid}/fd`)) ?? []
  return files.some((fd) => isInAny(read(() => readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? '', directories))
}

function isGitAt(pid: number, places: readonly string[]): boolean {
  const argv = wordsOf(pid, 'cmdline')
  if (!/^git(?:-|$)/.test(basename(argv[0] ?? ''))) return false
  const cwd = workingDirectory(pid) ?? '/'
  const start = argv.reduce((from, word, index) => (argv[index - 1] === '-C' ? resolve(from, word) : from), cwd)
  const named = [...argv.flatMap(namedByOption), ...wordsOf(pid, 'environ').flatMap(namedByVariable)]
  return [cwd, start, ...named.map((path) => resolve(start, path))].some((path) => isInAny(path, places))
}

const namedByOption = (word: string, index: number, argv: readonly string[]): string[] => {
  const [, value] = /^--(?:git-dir|work-tree)=(.*)$/s.exec(word) ?? []
  if (value !== undefined) return [value]
  return word === '--git-dir' || word === '--work-tree' ? argv.slice(index + 1, index + 2) : []
}

const namedByVariable = (variable: string): string[] =>
  /^GIT_(?:DIR|COMMON_DIR|WORK_TREE|INDEX_FILE)=(.+)$/s.exec(variable)?.slice(1) ?? []

const wordsOf = (pid: number, file: 'cmdline' | 'environ') =>
  read(() => readFileSync(`/proc/${pid}/${file}`, 'utf8'))?.split('\0') ?? []

/** A process that went meanwhile, or that is another account's, shows nothing. */
function read<Result>(from: () => Result): Result | undefined {
  try {
    return from()
  } catch {
    return undefined
  }
}
