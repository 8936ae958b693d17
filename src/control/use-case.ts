import type { HostLink } from '../domain/host-link.ts'
import type { RunState } from '../domain/run-state.ts'
import type { EventStore } from '../event-store/event-store.ts'
import type { AuditLog } from './audit-log.ts'
import type { HostDispatcher } from './host-dispatcher.ts'
import type { RunFeed } from './run-feed.ts'

/** What every use case is given. */
export type UseCaseDeps = {
  store: EventStore
  host: HostLink
  audit: AuditLog
  feed: RunFeed
  /** The same two for what must not wait: a store that does not answer within a moment is away. */
  hurried: { store: EventStore; audit: AuditLog }
  now: () => Date
  /** Tells the host of a kill that has just been recorded; returns at once, and never fails. */
  tellOfKill: HostDispatcher['tellOfKill']
  /**
   * The run as readers see it, once the projection has passed `position`. When the projection does not get there in
   * time (it has failed, or is being rebuilt), the given state: it was folded from the same events.
   */
  projected(state: RunState, position: number): Promise<RunState>
  /** Waits until readers can see what was recorded of workflows up to a position; bounded. */
  workflowsFollowed(position: number): Promise<void>
  /** Those of the defined workflows whose names are about as long as this one, a few hundred at most. */
  workflowNamesLike(name: string): Promise<string[]>
}
