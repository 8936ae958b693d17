import { randomUUID } from 'node:crypto'
import type { AuditLog } from './audit-log.ts'
import type { Log } from './log.ts'

export type RefusedAccess = { record(detail: string): void; settle(): Promise<void> }

/** One audit entry per this long at most: whoever knocks without a token must not be able to fill the store. */
const recordEveryMs = 10_000

/** Nobody is turned away silently: the first refusal is recorded at once, those that follow soon after as a number. */
export function createRefusedAccess(audit: AuditLog, log: Log): RefusedAccess {
  let refused = 0
  let latest = ''
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<unknown> = Promise.resolve()

  function record(detail: string): void {
    refused += 1
    latest = detail
    if (timer === undefined) write()
  }

  function write(): void {
    const attempt = { action: 'authenticate' as const, target: null, reason: null, details: { refused } }
    const context = { actor: { kind: 'user' as const, id: 'anonymous' }, correlationId: randomUUID() }
    refused = 0
    const written = audit.denied(context, attempt, latest).catch((error: unknown) => {
      log.error({ err: error }, 'a refused access could not be recorded')
    })
    writing = Promise.all([writing, written])
    timer = setTimeout(() => {
      timer = undefined
      if (refused > 0) write()
    }, recordEveryMs)
    timer.unref()
  }

  async function settle(): Promise<void> {
    if (refused > 0) write()
    clearTimeout(timer)
    await writing
  }

  return { record, settle }
}
