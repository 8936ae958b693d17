import type { ReceiptProcess } from '../domain/receipt.ts'
import type { EmergencyKillAnswer } from './answers.ts'
import type { LocalKillResult } from './composed.ts'
import type { CliContext } from './context.ts'
import { formatDuration } from './durations.ts'
import { CliError, type ExitCode, exitCodes } from './exit-codes.ts'
import { receiptLines } from './receipt-text.ts'

export type EmergencyOptions = {
  reason?: string
  wait: 'accepted' | 'killed' | 'cleaned'
  timeout: number
  idempotencyKey?: string
  json?: true
}

const exitCodeOf: Record<Extract<LocalKillResult, { type: 'refused' }>['reason'], ExitCode> = {
  denied: exitCodes.auth,
  'not-found': exitCodes.notFound,
  unavailable: exitCodes.unavailable,
}

/**
 * Kills without the server of this machine, in this very process: so it stays for the proof, whatever `wait` says.
 * @returns false: a server has come up meanwhile, and is to be asked instead
 */
export async function killWithoutServer(
  context: CliContext,
  url: string,
  runId: string,
  options: EmergencyOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const { reason = null, wait, timeout: timeoutMs, idempotencyKey } = options
  context.screen.say(
    `${url} does not answer: to kill ${runId} from here, its data directory on this machine is taken over.`,
  )
  const cleaned = wait === 'cleaned'
  const result = await context.deps.composed.killLocally({
    ...{ runId, reason, idempotencyKey, cleaned, timeoutMs, signal },
  })
  if (result.type === 'served') return false
  if (result.type === 'refused') throw new CliError(exitCodeOf[result.reason], result.message, result.wayOut)
  await reportEmergency(context, result.answer, options)
  if (signal.aborted && result.answer.waitExpired) context.end(exitCodes.interrupted)
  return true
}

/** The whole receipt: while the store is away there is no other place to read it. */
export async function reportEmergency(
  { screen, end }: CliContext,
  answer: EmergencyKillAnswer,
  { wait, json }: Pick<EmergencyOptions, 'wait' | 'json'>,
): Promise<void> {
  const accepted = wait === 'accepted' && answer.receipt === null && !answer.waitExpired
  const failure = answer.waitExpired ? exitCodes.timeout : exitCodes.failure
  end(answer.success || accepted ? exitCodes.ok : failure)
  if (json) return screen.json(answer)
  await screen.line(`${answer.runId}  ${standing(answer)}, cleanup ${answer.cleanupStatus}`)
  const lines = answer.receipt === null ? [] : receiptLines(answer.receipt.json, screen)
  for (const line of lines) await screen.line(line)
  screen.say(answer.message)
}

/** In the words of `runwarden kill`, from the receipt alone: the run's own status follows with its record. */
function standing({ receipt, killedAt }: EmergencyKillAnswer): string {
  if (receipt === null) return 'no receipt yet'
  const { proven, root, processes, timings } = receipt.json
  if (!proven || killedAt === null) return 'KILL_UNVERIFIED'
  // Not by the times: that of the exit is the clock of the file system, which is behind by some milliseconds.
  const isRoot = ({ identity }: ReceiptProcess) =>
    identity.pid === root?.pid && identity.startTime === root.startTime && identity.bootId === root.bootId
  if (root !== null && !processes.some((process) => isRoot(process) && process.signals.length > 0)) {
    return 'ended by itself'
  }
  return `KILLED ${formatDuration(Date.parse(killedAt) - Date.parse(timings.requestedAt))} after the request`
}
