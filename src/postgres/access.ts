import { chmod, chown, lstat, mkdir, rmdir, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { type Account, runAs } from './account.ts'
import { superuser } from './cluster.ts'
import { EmbeddedPostgresError, explainFileError } from './embedded-error.ts'
import { runProgram } from './program.ts'

/** Only a name inside the socket directory: the server listens on no network. */
export const port = 5432

export const socketName = `.s.PGSQL.${port}`

/** sun_path holds 108 bytes, the last of them a zero. */
const socketPathMaxBytes = 107

const socketPathBytes = (directory: string) => Buffer.byteLength(join(directory, socketName))

/**
 * Two walls stand around the database, and no password, which a run could read where we can:
 * the socket lies in a directory that only the account of PostgreSQL and root may enter, and the server asks the
 * kernel who is at the other end (`peer`) and lets in the account of this process alone.
 *
 * The files lie outside the cluster, so that nothing is ever written with our rights into a directory that another
 * account owns (it could have put a symlink there).
 */
export async function writeAccessRules(home: string): Promise<string[]> {
  const rules = join(home, 'pg_hba.conf')
  const names = join(home, 'pg_ident.conf')
  try {
    await writeFile(rules, 'local all all peer map=owner\n', { mode: 0o644 })
    await writeFile(names, `owner "${userInfo().username}" ${superuser}\n`, { mode: 0o644 })
  } catch (error) {
    throw explainFileError(error, home)
  }
  return [`hba_file=${rules}`, `ident_file=${names}`]
}

/**
 * Where the socket belongs: beside the data where the path is short enough, else under a short directory, named by the
 * data's device and inode so that it is found again.
 * @param shortDirectories where to go when it is too long
 * @throws EmbeddedPostgresError SOCKET_PATH_TOO_LONG
 */
export async function chooseSocketDirectory(
  home: string,
  shortDirectories: readonly string[] = process.getuid?.() === 0 ? ['/run', tmpdir()] : [tmpdir()],
): Promise<string> {
  const { dev, ino } = await lstat(home, { bigint: true })
  const candidates = [
    join(home, 'socket'),
    ...shortDirectories.map((directory) => join(directory, `runwarden-${dev.toString(36)}-${ino.toString(36)}`)),
  ]
  const directory = candidates.find((path) => socketPathBytes(path) <= socketPathMaxBytes)
  if (directory === undefined)
    throw new EmbeddedPostgresError(
      'SOCKET_PATH_TOO_LONG',
      `No socket fits below ${home}, nor below ${shortDirectories.join(' or ')}: its path may have ${socketPathMaxBytes} bytes. Set RUNWARDEN_DATA_DIR to a shorter path, or TMPDIR.`,
    )
  return directory
}

/** Made for the socket, and private. @throws EmbeddedPostgresError PERMISSION_DENIED: somebody else's is in its place */
export async function makeSocketDirectory(directory: string, account: Account): Promise<void> {
  try {
    await mkdir(directory, { mode: 0o700 })
    await chown(directory, account.uid, account.gid)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw explainFileError(error, directory)
  }
  const found = await lstat(directory)
  // Root may have been interrupted between mkdir and chown.
  if (found.isDirectory() && found.uid === process.getuid?.()) await chown(directory, account.uid, account.gid)
  else if (!found.isDirectory() || found.uid !== account.uid)
    throw new EmbeddedPostgresError(
      'PERMISSION_DENIED',
      `${directory}, where the database's socket belongs, is uid ${found.uid}'s and not a directory of ${account.name}. Remove it and start again.`,
    )
  await chmod(directory, 0o700)
}

/** PostgreSQL takes its own files out of it at a clean stop; after any other the next start finds the directory again. */
export async function removeSocketDirectory(directory: string): Promise<void> {
  try {
    await rmdir(directory)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOENT' && code !== 'ENOTEMPTY') throw error
  }
}

/**
 * PostgreSQL must be able to enter every directory down to its data.
 * @throws EmbeddedPostgresError DATA_DIRECTORY_UNREACHABLE, naming the first closed directory
 */
export async function checkReach(directory: string, account: Account, signal?: AbortSignal): Promise<void> {
  const parts = directory.split('/').filter((part) => part !== '')
  const ancestors = parts.map((_, index) => `/${parts.slice(0, index + 1).join('/')}`)
  // The kernel's own answer, which also knows ACLs and mounts.
  const script = 'for d; do [ -x "$d" ] || { printf %s "$d"; exit 1; }; done'
  const { failure, stdout } = await runProgram('/bin/sh', ['-c', script, 'sh', ...ancestors], {
    ...runAs(account),
    timeoutMs: 10_000,
    signal,
  })
  if (failure === undefined) return
  throw new EmbeddedPostgresError(
    'DATA_DIRECTORY_UNREACHABLE',
    `PostgreSQL runs as "${account.name}", which may not enter ${stdout || directory}, above the database in ${directory}. ` +
      `Set RUNWARDEN_DATA_DIR to a directory that it can reach (such as /var/lib/runwarden), or let it pass: chmod o+x ${stdout || directory}`,
  )
}
