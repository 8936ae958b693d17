import { type AlertEventBody, severityOf } from '../domain/alert-events.ts'
import { canaryWorkflow } from '../domain/canary-events.ts'
import type { HostId } from '../domain/ids.ts'
import type { EventStore } from '../event-store/event-store.ts'
import { appendToAlert, lastAlertEvent } from './alert-stream.ts'
import type { CanaryResult } from './canary-log.ts'
import type { RequestContext } from './control.ts'

/** One per host, open from a canary that failed until the next one that passed. */
const streamOf = (host: HostId) => `alert-canary-${host.slice('host_'.length)}`

/** Makes the alert say what the result does. A repeated call changes nothing. @throws StoreUnavailable */
export async function settleCanaryAlert(
  store: EventStore,
  result: CanaryResult,
  { actor, correlationId }: RequestContext,
  now: () => Date,
): Promise<void> {
  const stream = streamOf(result.host)
  const last = await lastAlertEvent(store, stream)
  const body = changeOf(result, last?.type === 'AlertRaised')
  if (body === undefined) return
  await appendToAlert(store, stream, body, { actor, correlationId, occurredAt: now().toISOString() }, last)
}

function changeOf({ outcome, runId, phase, message }: CanaryResult, isOpen: boolean): AlertEventBody | undefined {
  if (outcome === 'FAILED' && !isOpen) {
    const evidence = [{ fact: 'phase', value: phase ?? 'unknown' }]
    const said = `The readiness canary failed: ${message}`.slice(0, 1000)
    const [kind, workflow] = ['CANARY_FAILED' as const, canaryWorkflow]
    return {
      type: 'AlertRaised',
      data: { kind, severity: severityOf[kind], runId, workflow, message: said, evidence },
    }
  }
  if (outcome === 'PASSED' && isOpen) return { type: 'AlertResolved', data: { why: `The canary ${runId} passed.` } }
  return undefined
}
