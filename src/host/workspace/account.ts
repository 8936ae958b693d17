import type { DesiredRun } from '../../domain/host-link.ts'
import { type Account, findAccount } from '../accounts.ts'

/**
 * Whose a run's workspace is. @returns undefined: ours
 * @throws where the machine does not have the account any more
 */
export function accountOf(work: DesiredRun['work']): Account | undefined {
  const name = work.kind === 'launch' ? work.launch.runAs : undefined
  if (name === undefined) return undefined
  const account = findAccount(name)
  if (account === undefined) throw new Error(`This machine has no account ${name} any more, which the run had.`)
  return account
}
