import type { Metadata } from '@grpc/grpc-js'
import type { Faults } from './faults.ts'
import type { Log, Outcome, Transaction } from './log.ts'
import type { ServerVersion } from './node.ts'
import { accessDenied, type Endpoint, notLeader, operationTimedOut, wrongCredentials } from './refusal.ts'

/** What the handlers of one node share. */
export type Context = {
  log: Log
  faults: Faults
  /** Where clients reach this node. */
  endpoint(): Endpoint
  /** Passwords by user. undefined: an insecure node, which asks nobody who they are. */
  users: Record<string, string> | undefined
  /** The server refuses an append that is larger in all. */
  maxAppendBytes: number
  version: ServerVersion
}

/** Who asks is known, and may ask this node. @throws Refusal */
export async function admit({ faults, users }: Context, metadata: Metadata): Promise<void> {
  await faults.pass()
  if (users !== undefined) authenticate(users, metadata)
  if (faults.leader !== undefined && metadata.get('requires-leader')[0] === 'true') throw notLeader(faults.leader)
}

function authenticate(users: Record<string, string>, metadata: Metadata): void {
  const [header] = metadata.get('authorization')
  if (header === undefined) throw accessDenied()
  const given = Buffer.from(String(header).replace(/^Basic /, ''), 'base64').toString()
  const isKnown = Object.entries(users).some(([name, password]) => given === `${name}:${password}`)
  if (!isKnown) throw wrongCredentials()
}

/** undefined: a fault struck, and nobody is answered. @throws Refusal */
export function commit({ log, faults }: Context, transaction: Transaction): Outcome | undefined {
  if (faults.isFull) throw operationTimedOut()
  if (faults.isStruck('before-commit')) return undefined
  const outcome = log.commit(transaction)
  return faults.isStruck('after-commit') ? undefined : outcome
}
