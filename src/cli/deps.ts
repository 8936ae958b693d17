import type { Composed } from './composed.ts'

/** A standard stream, as far as the commands use it. */
export type Output = NodeJS.WritableStream & { isTTY?: boolean; columns?: number; rows?: number }
export type Input = NodeJS.ReadableStream & { isTTY?: boolean; setRawMode?(raw: boolean): unknown }

/** What the commands need from the process that they run in. */
export type CliDeps = {
  version: string
  env: Readonly<Record<string, string | undefined>>
  /** Where the user stands; the workspace of a run that names none. */
  cwd: string
  /** What is typed; only a command that is driven by keys looks at it. */
  readonly stdin: Input
  /** Data only. */
  stdout: Output
  /** Everything else. */
  stderr: Output
  composed: Composed
}
