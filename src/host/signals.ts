import type { SignalName } from '../domain/receipt.ts'
import { readStat } from '../os/process-identity.ts'
import { isAlive, type ProcessEntry } from './process-table.ts'

/**
 * Sends a signal to the very process that was found, and to nobody else: who has its pid now is looked up right before.
 * @returns false when it is gone or dead, or must not be signalled
 */
export function signalProcess(
  entry: Pick<ProcessEntry, 'pid' | 'startTime'>,
  signal: SignalName | 'SIGSTOP' | 'SIGCONT',
): boolean {
  if (entry.pid <= 1 || entry.pid === process.pid) return false
  const now = readStat(entry.pid)
  if (now === undefined || now.startTime !== entry.startTime || !isAlive(now)) return false
  try {
    process.kill(entry.pid, signal)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // EPERM: another account's, which a receipt will show as a survivor.
    if (code === 'ESRCH' || code === 'EPERM') return false
    throw error
  }
}
