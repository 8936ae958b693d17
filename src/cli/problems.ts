import type { Problem } from './answers.ts'
import { CliError, type ExitCode, exitCodes } from './exit-codes.ts'

const exitCodeOf: Record<string, ExitCode> = {
  InvalidInput: exitCodes.usage,
  RunNotFound: exitCodes.notFound,
  UnknownProjection: exitCodes.notFound,
  UnknownWorkflow: exitCodes.notFound,
  PermissionDenied: exitCodes.auth,
  AlreadyEnded: exitCodes.conflict,
  RunIdTaken: exitCodes.conflict,
  IdempotencyConflict: exitCodes.conflict,
  InvalidTransition: exitCodes.conflict,
  ProjectionNotStopped: exitCodes.conflict,
  StoreUnavailable: exitCodes.unavailable,
}

/** How a typed failure of a mutation ends the command. */
export function failureOf({ __typename, message, issues = [] }: Problem): CliError {
  const details = issues.map((issue) => `  ${issue.path}: ${issue.message}`)
  return new CliError(exitCodeOf[__typename] ?? exitCodes.failure, [message, ...details].join('\n'))
}

export const isAnswer = <Answer extends { __typename: string }>(
  result: Answer | Problem,
  name: Answer['__typename'],
): result is Answer => result.__typename === name

export const runNotFound = (id: string) =>
  new CliError(exitCodes.notFound, `There is no run ${id}.`, 'See `runwarden ls --all` for those that there are.')
