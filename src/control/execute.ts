import { randomUUID } from 'node:crypto'
import { type Command, decide, type Rejection } from '../domain/decide.ts'
import { type RunId, runStream } from '../domain/ids.ts'
import type { EventStore } from '../event-store/event-store.ts'
import type { RequestContext } from './control.ts'
import { envelope, foldNew, type LoadedRun, loadRun } from './run-log.ts'

export type Executed =
  /** `joined`: nothing was written, for what was asked for is under way already. */
  ({ ok: true; joined: boolean } & LoadedRun) | { ok: false; rejection: Rejection; run: LoadedRun | undefined }

/** Facts of a busy run come a few per second: this many lost races in a row mean a bug, not bad luck. */
const attemptsMax = 50

/**
 * Decides on the run's own stream and appends what was decided; on a race it decides again on the newer state.
 * @throws StoreUnavailable
 */
export async function execute(
  store: EventStore,
  context: RequestContext,
  runId: RunId,
  command: Command,
  now: () => Date,
): Promise<Executed> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const run = await loadRun(store, runId)
    const state = run?.state
    const decision = decide(command, state)
    if (!decision.ok) return { ok: false, rejection: decision.rejection, run }
    if (decision.events.length === 0 && run !== undefined) return { ok: true, ...run, joined: true }
    const events = decision.events.map((body) =>
      envelope(body, {
        eventId: randomUUID(),
        actor: context.actor,
        correlationId: context.correlationId,
        occurredAt: now().toISOString(),
      }),
    )
    const appended = await store.append(runStream(runId), events, state?.revision ?? 'no-stream')
    if (appended.outcome === 'appended') {
      const { position } = appended
      // As good as the first one's: nothing lies between the events of one append.
      const order = run?.order ?? position
      return { ok: true, state: foldNew(state, events, runStream(runId)), order, position, joined: false }
    }
  }
  throw new Error(`${command.type} for ${runId} lost the race for its stream ${attemptsMax} times in a row`)
}
