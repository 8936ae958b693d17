import type { LeftOut } from '../../domain/salvage.ts'
import type { Account } from '../accounts.ts'
import { command, failureOf } from './command.ts'

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
  const { directory, account, signal } = options
  const input = names && encode(names)
  const each = ['xargs', '-0', '-r', 'sh', '-c', `exec find -P "$@" ${measured.map(quoted).join(' ')}`, 'sh']
  const argv = names === undefined ? ['find', '-P', '.', '-mindepth', '1', ...measured] : each
  const list = () => command({ argv, account, directory, input, outputBytesMax: listBytesMax, timeoutMs, signal })
  let listed = await list()
  if (listed.status !== 0 && listed.ended === undefined) {
    // A directory that its own owner cannot read. What this does not mend shows in the second attempt.
    const open = ['chmod', '-R', 'u+rX', '--', '.']
    await command({ argv: open, account, directory, outputBytesMax: 0, timeoutMs, signal })
    listed = await list()
  }
  if (listed.status !== 0) throw failureOf('find', listed)
  return parse(listed.stdout.toString('latin1'))
}

const quoted = (word: string) => `'${word}'`
const encode = (names: readonly string[]) => Buffer.from(names.map((name) => `${relative(name)}\0`).join(''), 'latin1')
/** Never an option, whatever the name begins with. */
const relative = (name: string) => (name.startsWith('./') ? name : `./${name}`)

function parse(list: string): Entry[] {
  return list
    .split('\0')
    .filter(Boolean)
    .map((line) => {
      const [type = '', bytes = '', ...name] = line.split(' ')
      // A directory is kept for its own sake: a git repository with an empty one missing is none.
      return { type, bytes: type === 'd' ? 0 : Number(bytes), name: name.join(' ') }
    })
}

/**
 * As many of the files as fit, the smallest first: those are the ones that people write. A repository's own directory
 * is taken whole or not at all, after all others.
 */
export function choose(entries: readonly Entry[], maxBytes: number): Chosen {
  const chosen: Chosen = { names: [], files: 0, bytes: 0, archiveBytes: 0, leftOut: [], lostRepository: undefined }
  const repositories = new Map<string, Entry[]>()
  const files: Entry[] = []
  for (const entry of entries) {
    const repository = /^(?:.*?\/)?\.git(?=\/|$)/s.exec(entry.name)?.[0]
    const members = repository === undefined ? files : repositories.get(repository)
    if (members !== undefined) members.push(entry)
    else repositories.set(repository as string, [entry])
  }
  for (const entry of files.toSorted((a, b) => a.bytes - b.bytes)) {
    const refused = obstacle(entry) ?? (fits([entry], chosen, maxBytes) ? undefined : 'TOO_LARGE')
    if (refused === undefined) take([entry], chosen)
    else chosen.leftOut.push({ path: shown(entry.name), bytes: entry.bytes, reason: refused })
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
  return chosen
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
