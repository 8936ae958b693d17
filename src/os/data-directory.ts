import { chmod, mkdir, realpath, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'

/** The message names the directory and the way out. */
export class DataDirectoryError extends Error {
  override readonly name = 'DataDirectoryError'
  readonly code: 'NOT_ABSOLUTE' | 'NOT_A_DIRECTORY' | 'OTHER_OWNER' | 'WRITABLE_BY_OTHERS' | 'CANNOT_CREATE'

  constructor(code: DataDirectoryError['code'], message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

const rootsDirectory = '/var/lib/runwarden'

/**
 * Where the data are: RUNWARDEN_DATA_DIR, else for root `/var/lib/runwarden`, else `runwarden` in the user's state
 * directory. The directory need not exist.
 * @throws DataDirectoryError NOT_ABSOLUTE
 */
export function resolveDataDirectory(env: NodeJS.ProcessEnv, uid: number): string {
  const wanted = env.RUNWARDEN_DATA_DIR
  if (wanted !== undefined && wanted !== '') {
    if (isAbsolute(wanted)) return wanted
    throw new DataDirectoryError(
      'NOT_ABSOLUTE',
      `RUNWARDEN_DATA_DIR is "${wanted}", which depends on where a command is started. Give it as an absolute path.`,
    )
  }
  if (uid === 0) return rootsDirectory
  // The XDG base directory specification: a relative path is invalid and to be ignored.
  const state = env.XDG_STATE_HOME
  if (state !== undefined && isAbsolute(state)) return join(state, 'runwarden')
  const home = env.HOME !== undefined && isAbsolute(env.HOME) ? env.HOME : homedir()
  return join(home, '.local', 'state', 'runwarden')
}

/**
 * Makes the directory, or checks the one that is there: whoever can write in it, or owns it, owns the database, the
 * token and every run. A new one of root's may be passed through (0711): PostgreSQL runs as another account.
 * @returns its path without symlinks
 * @throws DataDirectoryError
 */
export async function prepareDataDirectory(path: string): Promise<string> {
  const uid = process.getuid?.() ?? 0
  try {
    // Past the umask, which may be strict.
    if (await makeDirectory(path)) await chmod(path, uid === 0 ? 0o711 : 0o700)
  } catch (cause) {
    throw cannotCreate(path, cause as NodeJS.ErrnoException)
  }
  const found = await stat(path)
  if (found.uid !== uid)
    throw new DataDirectoryError(
      'OTHER_OWNER',
      `The data directory ${path} belongs to uid ${found.uid}; this process runs as uid ${uid}. Run as its owner, or set RUNWARDEN_DATA_DIR to a directory of your own.`,
    )
  if ((found.mode & 0o022) !== 0)
    throw new DataDirectoryError(
      'WRITABLE_BY_OTHERS',
      `Others than its owner may write in the data directory ${path} (mode ${(found.mode & 0o7777).toString(8).padStart(4, '0')}), and so could replace the token or a run's files. Take that away: chmod go-w ${path}`,
    )
  return realpath(path)
}

/**
 * With the directories above it; false where it was there. Node's own `recursive` never returns where a parent exists
 * and yet answers ENOENT, as /proc does (seen with 24.21).
 */
async function makeDirectory(path: string): Promise<boolean> {
  try {
    await mkdir(path)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return false
    if (code !== 'ENOENT' || !(await makeDirectory(dirname(path)))) throw error
    await mkdir(path)
    return true
  }
}

function cannotCreate(path: string, cause: NodeJS.ErrnoException): DataDirectoryError {
  if (cause.code === 'EEXIST' || cause.code === 'ENOTDIR')
    return new DataDirectoryError(
      'NOT_A_DIRECTORY',
      `${path}, or something above it, is not a directory. Set RUNWARDEN_DATA_DIR to one.`,
      { cause },
    )
  return new DataDirectoryError(
    'CANNOT_CREATE',
    `The data directory ${path} cannot be made (${cause.code ?? cause.message}). Make it yourself, owned by this user, or set RUNWARDEN_DATA_DIR to another.`,
    { cause },
  )
}
