/** How `runwarden` ends; scripts rely on these. */
export const exitCodes = {
  ok: 0,
  failure: 1,
  usage: 2,
  notFound: 3,
  auth: 4,
  conflict: 5,
  unavailable: 6,
  /** What was waited for did not come in time; it goes on. */
  timeout: 124,
  interrupted: 130,
} as const
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** Ends the command with a message for people and, where there is one, the way out. */
export class CliError extends Error {
  override readonly name = 'CliError'
  /** One of `exitCodes`, or that of the program that was run. */
  readonly exitCode: number
  readonly wayOut: string | undefined

  constructor(exitCode: number, message: string, wayOut?: string, options?: ErrorOptions) {
    super(message, options)
    this.exitCode = exitCode
    this.wayOut = wayOut
  }
}

export const usageError = (message: string, wayOut?: string) => new CliError(exitCodes.usage, message, wayOut)
