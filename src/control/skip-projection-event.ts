import type { Projector } from '../../projections/projector.ts'
import type { AuditLog } from './audit-log.ts'
import type { RequestContext, SkipProjectionEventResult } from './control.ts'
import { parseInput, skipProjectionEventInputSchema } from './inputs.ts'

const action = 'skipProjectionEvent' as const
/** The answer shows what comes of it, if that comes soon. */
const passingMs = 3_000

/**
 * Lets a projection pass over the event that stopped it. Its tables are then without that event: who decided so, when
 * and why stays with the projection, and in the audit trail.
 */
export async function skipProjectionEvent(
  projector: Projector,
  audit: AuditLog,
  context: RequestContext,
  input: unknown,
  now: Date,
  signal: AbortSignal,
): Promise<SkipProjectionEventResult> {
  const parsed = parseInput(skipProjectionEventInputSchema, input)
  if (!parsed.ok) {
    await audit.denied(context, { action, target: null, reason: null, details: {} }, parsed.failure.message)
    return parsed.failure
  }
  const { name, position, reason } = parsed.value
  const known = [...projector.names]
  const before = (await projector.status()).find((status) => status.name === name)
  const details = { position, ...(before?.failure?.position === position && { ...before.failure }) }
  const attempt = { action, target: name, reason: reason ?? null, details }
  if (!known.includes(name)) {
    const message = `There is no projection ${JSON.stringify(name)}. There are: ${known.join(', ')}.`
    await audit.denied(context, attempt, message)
    return { type: 'UnknownProjection', message, known }
  }
  return audit.allowed<SkipProjectionEventResult>(context, attempt, async () => {
    const decision = { skippedBy: context.actor, skippedAt: now.toISOString(), reason: storable(reason ?? null) }
    const skip = await projector.skip(name, position, decision)
    if (skip === undefined) {
      const message = `The projection ${name} has not stopped at event ${position}: "runwarden projections status" says where it is.`
      return { result: { type: 'ProjectionNotStopped', message }, outcome: 'ProjectionNotStopped', detail: message }
    }
    const waiting = AbortSignal.any([signal, AbortSignal.timeout(passingMs)])
    // Whether it has passed, or stops at the next event: its state says so.
    await projector.waitFor(position, waiting, name).catch(() => {})
    const projection = (await projector.status()).find((status) => status.name === name)
    if (projection === undefined) throw new Error(`the projection ${name} has gone`)
    const detail = `${name} passes over event ${position} (${skip.type} of ${skip.stream}).`
    return { result: { type: 'SkipProjectionEventAnswer', projection, skip }, outcome: 'COMPLETED', detail }
  })
}

/** NUL and half characters are no text for PostgreSQL. */
const storable = (text: string | null) => text?.toWellFormed().replaceAll('\0', '\ufffd') ?? null
