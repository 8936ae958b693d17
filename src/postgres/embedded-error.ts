export type EmbeddedPostgresErrorCode =
  /** The account that PostgreSQL runs as cannot enter a parent of the data directory. */
  | 'DATA_DIRECTORY_UNREACHABLE'
  | 'PERMISSION_DENIED'
  | 'DISK_FULL'
  /** The data were written by an older major version than the binaries'. */
  | 'OTHER_MAJOR_VERSION'
  /** The data were written by a newer major version than the binaries'. */
  | 'NEWER_MAJOR_VERSION'
  /** There is no package of binaries for this platform, or it is not installed, or this system cannot run it. */
  | 'BINARIES_MISSING'
  /** No unprivileged account to run as, or one that does not exist. */
  | 'NO_ACCOUNT'
  | 'SOCKET_PATH_TOO_LONG'
  /** The message ends with the last lines of the server's log. */
  | 'START_FAILED'
  | 'STOP_FAILED'

/** The message names the offending value and the way out. */
export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError'
  readonly code: EmbeddedPostgresErrorCode

  constructor(code: EmbeddedPostgresErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** Gives a failed file operation its code; what is not about space or permission passes through. */
export function explainFileError(error: unknown, path: string): unknown {
  const code = (error as NodeJS.ErrnoException)?.code
  if (code === 'ENOSPC' || code === 'EDQUOT') return diskFull(path, error)
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
    return new EmbeddedPostgresError(
      'PERMISSION_DENIED',
      `Cannot write in ${path} (${code}). Give this user write access to it, or set RUNWARDEN_DATA_DIR to a directory that it owns.`,
      { cause: error },
    )
  return error
}

export function diskFull(path: string, cause: unknown): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'DISK_FULL',
    `No space left on the disk of ${path}. Free some (a fresh database needs about 60 MB, and room to grow), or set RUNWARDEN_DATA_DIR to a directory on another disk; then start again.`,
    { cause },
  )
}

/** What the C library says for ENOSPC and EDQUOT; messages are in English because LC_MESSAGES is C. */
export const saysDiskFull = (text: string) => /No space left on device|Disk quota exceeded/.test(text)
