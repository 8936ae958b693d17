import { execFile } from 'node:child_process'

export type ProgramResult = {
  stdout: string
  stderr: string
  /** undefined: it ended with status 0. */
  failure: string | undefined
}

export type ProgramOptions = { uid?: number; gid?: number; timeoutMs: number; signal?: AbortSignal | undefined }

/** What PostgreSQL's programs get to see of our environment: nothing. Messages are in English, for us to read. */
export const programEnvironment = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }

/**
 * Runs a program to its end.
 * @throws the reason of `signal`, when it aborted
 */
export function runProgram(file: string, args: readonly string[], options: ProgramOptions): Promise<ProgramResult> {
  const { timeoutMs, signal, ...account } = options
  signal?.throwIfAborted()
  return new Promise((resolve, reject) => {
    execFile(
      file,
      args,
      // The working directory of this process may be out of the account's reach.
      { ...account, cwd: '/', env: programEnvironment, timeout: timeoutMs, killSignal: 'SIGKILL', signal },
      (error, stdout, stderr) => {
        if (signal?.aborted) return reject(signal.reason)
        resolve({ stdout, stderr, failure: error === null ? undefined : describe(error, stderr) })
      },
    )
  })
}

function describe(error: Error & { killed?: boolean | undefined }, stderr: string): string {
  if (error.killed === true) return 'it took too long'
  return stderr.trim() || error.message
}
