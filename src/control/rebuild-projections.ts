import { failureText } from '../../projections/checkpoint.ts'
import { type Projector, RebuildFailed } from '../../projections/projector.ts'
import type { AuditLog } from './audit-log.ts'
import type { RebuildProjectionsResult, RequestContext } from './control.ts'

/** Fills the read models anew from the events, beside the live tables. @param names null: all of them. */
export async function rebuildProjections(
  projector: Projector,
  audit: AuditLog,
  context: RequestContext,
  names: string[] | null,
  signal: AbortSignal,
): Promise<RebuildProjectionsResult> {
  const known = (await projector.status()).map(({ name }) => name)
  const unknown = names?.filter((name) => !known.includes(name)) ?? []
  const target = names?.join(',') ?? null
  const attempt = { action: 'rebuildProjections' as const, target, reason: null, details: {} }
  if (unknown.length > 0) {
    const message = `There is no projection ${unknown.map((name) => JSON.stringify(name)).join(', ')}. There are: ${known.join(', ')}.`
    await audit.denied(context, attempt, message)
    return { type: 'UnknownProjection', message, known }
  }
  return audit.allowed<RebuildProjectionsResult>(context, attempt, async () => {
    try {
      const projections = await projector.rebuild(names, signal)
      const detail = projections.map(({ name, events }) => `${name}: ${events} events`).join(', ')
      return { result: { type: 'RebuildProjectionsAnswer', projections }, outcome: 'COMPLETED', detail }
    } catch (error) {
      if (!(error instanceof RebuildFailed)) throw error
      const { projection, failure } = error
      const message = `The rebuild met an event that ${projection} cannot take; its live tables are as they were. ${failureText(failure)}`
      const result = { type: 'RebuildFailed' as const, message, projection, position: failure.position }
      return { result, outcome: 'RebuildFailed', detail: message }
    }
  })
}
