import type { MoveProgress, MoveRefusal } from './composed.ts'
import { CliError, type ExitCode, exitCodes } from './exit-codes.ts'
import type { Screen } from './screen.ts'

/** Whoever ends it, what it has opened is closed in order. */
export const stopSignals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

/** Work that is done sooner says nothing on its way. */
const sayEveryMs = 5_000

const doing: Record<MoveProgress['phase'], string> = {
  export: 'exported',
  check: 'checked the file',
  import: 'imported',
  compare: 'compared with the file',
}

/** Says on stderr how far it is, every few seconds. */
export function moveProgress({ say }: Pick<Screen, 'say'>, now: () => number = () => performance.now()) {
  let saidAt = now()
  return ({ phase, events, total }: MoveProgress): void => {
    if (now() - saidAt < sayEveryMs) return
    saidAt = now()
    say(`${doing[phase]}: ${events}${total === undefined ? '' : ` of ${total}`} events`)
  }
}

const exitCodeOf: Record<Extract<MoveRefusal, { type: 'refused' }>['reason'], ExitCode> = {
  usage: exitCodes.usage,
  'not-found': exitCodes.notFound,
  conflict: exitCodes.conflict,
  unavailable: exitCodes.unavailable,
  failure: exitCodes.failure,
}

/** @param interrupted what an interruption leaves, for people */
export const endedEarly = (result: MoveRefusal, interrupted: string): CliError =>
  result.type === 'interrupted'
    ? new CliError(exitCodes.interrupted, `Interrupted. ${interrupted}`)
    : new CliError(exitCodeOf[result.reason], result.message, result.wayOut)
