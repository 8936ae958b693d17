import type { LeftOut } from '../../domain/salvage.ts'
import type { Account } from '../accounts.ts'
import { type CommandOptions, type CommandResult, command, failureOf } from './command.ts'

export type FilesOptions = {
  /** The workspace: a directory, no link. */
  directory: string
  account: Account | undefined
  /** Of the archive. */
  maxBytes: number
  signal: AbortSignal
}

/** Names as bytes, one Latin-1 character each: a file may have any. */
type Entry = { type: string; bytes: number; name: string }

export type Chosen = {
  names: string[]
  /** Of them: those that are no directory. */
  files: number
  /** What these hold. */
  bytes: number
  /** What their archive takes, at most. */
  archiveBytes: number
  leftOut: LeftOut[]
  /** A repository's own directory did not fit: commits that are nowhere else may be in it. */
  lostRepository: string | undefined
  /** Of what was left out, the files that are nowhere else, and that no .gitignore names. */
  lost: LeftOut[]
}

const timeoutMs = 5 * 60_000
/** A million files of a usual length. */
const listBytesMax = 128 * 1024 * 1024
/** Linux opens nothing by a longer path. */
const pathBytesMax = 4_000

const measured = [
  ...['(', '-type', 'f', '!', '-readable', '-printf', 'U %s %p\\0', ')'],
  ...['-o', '-printf', '%y %s %p\\0'],
]

/**
 * What is there below the names, and how large it is: as the run's account, following no link.
 * @param names below the directory; undefined: all of it
 * @throws when it cannot be listed
 */
export async function measure(names: readonly string[] | undefined, options: FilesOptions): Promise<Entry[]> {
  if (names?.length === 0) return []
  const input = names && encode(names)
  const each = ['xargs', '-0', '-r', 'sh', '-c', `exec find -P "$@" ${measured.map(quoted).join(' ')}`, 'sh']
  const argv = names === undefined ? ['find', '-P', '.', '-mindepth', '1', ...measured] : each
  const listed = await list(argv, { ...options, input, outputBytesMax: listBytesMax, timeoutMs })
  if (listed.status !== 0) throw failureOf('find', listed)
  return parse(listed.stdout.toString('latin1'))
}

type ListOptions = FilesOptions & Pick<CommandOptions, 'input' | 'outputBytesMax' | 'timeoutMs'>

/** Below the workspace. What its own owner cannot read is opened, and listed again. */
export async function list(argv: readonly string[], options: ListOptions): Promise<CommandResult> {
  const { directory, account, signal } = options
  const listed = await command({ argv, ...options })
  if (listed.ended !== undefined || (listed.status === 0 && !/(^|\0)U /.test(listed.stdout.toString('latin1')))) {
    return listed
  }
  const open = ['chmod', '-R', 'u+rX', '--', '.']
  // What this does not mend shows in the second attempt.
  await command({ argv: open, account, directory, outputBytesMax: 0, timeoutMs, signal })
  return command({ argv, ...options })
}

const quoted = (word: string) => `'${word}'`
const encode = (names: readonly string[]) => Buffer.from(names.map((name) => `${relative(name)}\0`).join(''), 'latin1')
/** Never an option, whatever the name begins with; a directory without a slash at its end. */
const relative = (name: string) => (name.startsWith('./') ? name : `./${name}`).replace(/(?<=.)\/+$/, '')

/** Each once, though names may lie below each other. */
function parse(listed: string): Entry[] {
  const entries = new Map<string, Entry>()
  for (const line of listed.split('\0').filter(Boolean)) {
    const [type = '', bytes = '', ...words] = line.split(' ')
    const name = words.join(' ')
    // A directory is kept for its own sake: a git repository with an empty one missing is none.
    entries.set(name, { type, bytes: type === 'd' ? 0 : Number(bytes), name })
  }
  return [...entries.values()]
}

/**
 * As many of the files as fit, the smallest first: those are the ones that people write. A repository's own directory
 * is taken whole or not at all, after all others; what is ignored, last.
 */
export function choose(entries: readonly Entry[], maxBytes: number, isIgnored = (_name: string) => false): Chosen {
  const chosen: Chosen = { ...empty(), leftOut: [], lostRepository: undefined, lost: [] }
  const repositories = new Map<string, Entry[]>()
  const files: Entry[] = []
  for (const entry of entries) {
    const repository = /^(?:.*?\/)?\.git(?=\/|$)/s.exec(entry.name)?.[0]
    const members = repository === undefined ? files : repositories.get(repository)
    if (members !== undefined) members.push(entry)
    else repositories.set(repository as string, [entry])
  }
  const bySize = files.toSorted((a, b) => a.bytes - b.bytes)
  for (const entry of bySize.filter(({ name }) => !isIgnored(name))) {
    const refused = obstacle(entry) ?? (fits([entry], chosen, maxBytes) ? undefined : 'TOO_LARGE')
    if (refused === undefined) take([entry], chosen)
    else leaveOut(entry, refused, chosen)
  }
  for (const [name, members] of repositories) {
    const whole = members.filter((entry) => obstacle(entry) !== 'SPECIAL')
    const bytes = whole.reduce((sum, entry) => sum + entry.bytes, 0)
    const refused = whole.map(obstacle).find(Boolean) ?? (fits(whole, chosen, maxBytes) ? undefined : 'TOO_LARGE')
    if (refused === undefined) take(whole, chosen)
    else {
      chosen.leftOut.push({ path: shown(name), bytes, reason: refused })
      chosen.lostRepository ??= shown(name)
    }
  }
  for (const entry of bySize.filter(({ name }) => isIgnored(name))) {
    if (obstacle(entry) === undefined && fits([entry], chosen, maxBytes)) take([entry], chosen)
    else chosen.leftOut.push({ path: shown(entry.name), bytes: entry.bytes, reason: 'IGNORED' })
  }
  return chosen
}

const empty = () => ({ names: [], files: 0, bytes: 0, archiveBytes: 0 })

function leaveOut({ type, name, bytes }: Entry, reason: LeftOut['reason'], chosen: Chosen): void {
  const left: LeftOut = { path: shown(name), bytes, reason }
  chosen.leftOut.push(left)
  // A path that is too long is no file of a project: it comes of a loop.
  if (type !== 'd' && (reason === 'TOO_LARGE' || reason === 'UNREADABLE')) chosen.lost.push(left)
}

function obstacle({ type, name }: Entry): LeftOut['reason'] | undefined {
  if (type === 'U') return 'UNREADABLE'
  if (type !== 'f' && type !== 'l' && type !== 'd') return 'SPECIAL'
  return name.length > pathBytesMax ? 'PATH_TOO_LONG' : undefined
}

const block = 512
/** Its header, a long name in a header of its own, its content in whole blocks. */
const archived = ({ bytes, name }: Entry) =>
  block + (name.length < 100 ? 0 : block + Math.ceil(name.length / block) * block) + Math.ceil(bytes / block) * block

const sizeOf = (entries: readonly Entry[]) => entries.reduce((sum, entry) => sum + archived(entry), 0)
const fits = (entries: readonly Entry[], { archiveBytes }: Chosen, maxBytes: number) =>
  archiveBytes + sizeOf(entries) <= maxBytes

function take(entries: readonly Entry[], chosen: Chosen): void {
  for (const { name } of entries) chosen.names.push(name)
  chosen.archiveBytes += sizeOf(entries)
  const files = entries.filter(({ type }) => type !== 'd')
  chosen.files += files.length
  chosen.bytes += files.reduce((sum, { bytes }) => sum + bytes, 0)
}

/** For people: without `./`, as text, short. */
export const shown = (name: string) => Buffer.from(name.replace(/^\.\//, ''), 'latin1').toString().slice(0, 500)

/** The end of an archive, and links, whose targets are short. */
const archiveSlackBytes = 1024 * 1024

/**
 * Writes the files into a tar archive, as the run's account, following no link.
 * @throws when one of them cannot be read any more, or the archive cannot be written
 */
export async function archive(chosen: Chosen, path: string, options: FilesOptions): Promise<void> {
  const { directory, account, signal } = options
  const argv = [
    ...['tar', '--create', '--file=-', '--format=gnu', '--numeric-owner', '--no-recursion', '--null', '--no-unquote'],
    '--files-from=-',
  ]
  const outputBytesMax = chosen.archiveBytes + archiveSlackBytes
  const input = encode(chosen.names)
  const made = await command({ argv, account, directory, input, toFile: path, outputBytesMax, timeoutMs, signal })
  if (made.status !== 0) throw failureOf('tar', made)
}
