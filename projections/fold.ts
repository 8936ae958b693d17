import type pg from 'pg'
import type { RecordedEvent } from '../src/domain/event.ts'
import type { EventBatch } from '../src/event-store/event-store.ts'
import { failureOf, failureText, type ProjectionFailure } from './checkpoint.ts'
import type { Projection } from './projection.ts'
import { isPassing } from './session.ts'

/** The fold refused a batch, for a reason that a later try will meet again. */
export class FoldFailed extends Error {
  override readonly name = 'FoldFailed'
  readonly failure: ProjectionFailure

  constructor(event: RecordedEvent, cause: unknown) {
    const failure = failureOf(event, cause)
    super(failureText(failure), { cause })
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
 * @param mayPassOver whether somebody has decided so about an event that cannot be taken.
 * @throws FoldFailed naming the poison event.
 */
export async function applyBatch(
  batch: EventBatch,
  from: number,
  apply: (events: readonly RecordedEvent[], from: number, to: number) => Promise<boolean>,
  mayPassOver: (failure: ProjectionFailure) => Promise<boolean>,
): Promise<boolean> {
  try {
    return await apply(batch.events, from, batch.position)
  } catch (error) {
    if (!(error instanceof FoldFailed)) throw error
  }
  let at = from
  for (const event of batch.events) {
    if (!(await applyOrPassOver(event, at))) return false
    at = event.position
  }
  return apply([], at, batch.position)

  async function applyOrPassOver(event: RecordedEvent, from: number): Promise<boolean> {
    try {
      return await apply([event], from, event.position)
    } catch (error) {
      if (!(error instanceof FoldFailed) || !(await mayPassOver(error.failure))) throw error
    }
    return apply([], from, event.position)
  }
}
