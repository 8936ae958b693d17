import type pg from 'pg'
import type { RecordedEvent } from '../src/domain/event.ts'
import type { EventBatch } from '../src/event-store/event-store.ts'
import { failureOf, type ProjectionFailure } from './checkpoint.ts'
import type { Projection } from './projection.ts'
import { isPassing } from './session.ts'

/** The fold refused a batch, for a reason that a later try will meet again. */
export class FoldFailed extends Error {
  override readonly name = 'FoldFailed'
  readonly failure: ProjectionFailure

  constructor(event: RecordedEvent, cause: unknown) {
    const failure = failureOf(event, cause)
    super(`event ${failure.position} (${failure.type} of ${failure.stream}): ${failure.error}`, { cause })
    this.failure = failure
  }
}

/** @throws FoldFailed naming the batch's first event; whatever passes is thrown as it is. */
export async function fold(projection: Projection, events: readonly RecordedEvent[], client: pg.ClientBase) {
  const [first] = events
  if (first === undefined) return
  try {
    await projection.fold(events, client)
  } catch (error) {
    throw isPassing(error) ? error : new FoldFailed(first, error)
  }
}

/**
 * Applies a batch whole; when its fold fails, one event at a time, so that everything before the poison event gets
 * through and the failure names the right one.
 * @param apply a transaction that folds the events and moves the checkpoint; false: the checkpoint was elsewhere.
 * @throws FoldFailed naming the poison event.
 */
export async function applyBatch(
  batch: EventBatch,
  from: number,
  apply: (events: readonly RecordedEvent[], from: number, to: number) => Promise<boolean>,
): Promise<boolean> {
  try {
    return await apply(batch.events, from, batch.position)
  } catch (error) {
    if (!(error instanceof FoldFailed) || batch.events.length === 1) throw error
  }
  let at = from
  for (const event of batch.events) {
    if (!(await apply([event], at, event.position))) return false
    at = event.position
  }
  return apply([], at, batch.position)
}
