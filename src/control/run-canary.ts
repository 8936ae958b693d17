import type { AuditLog } from './audit-log.ts'
import type { Canary } from './canary.ts'
import type { RequestContext, RunCanaryResult } from './control.ts'

/** A canary on request; the start and the kill of its decoy are on record too, as any others. */
export function runCanary(
  canary: Canary,
  audit: AuditLog,
  context: RequestContext,
  signal: AbortSignal,
): Promise<RunCanaryResult> {
  return audit.allowed<RunCanaryResult>(
    context,
    { action: 'runCanary', target: null, reason: null, details: {} },
    async () => {
      const { result, joined } = await canary.request(context, signal)
      const detail = result.message ?? `The decoy was ${result.runId}.`
      return { result: { type: 'RunCanaryAnswer', result, joined }, outcome: result.outcome, detail }
    },
  )
}
