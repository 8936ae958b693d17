import { z } from 'zod'

/** Who caused an event. `host` stands behind facts: what the host agent saw, not what somebody wanted. */
export const actorSchema = z.object({
  kind: z.enum(['user', 'token', 'run', 'monitor', 'host']),
  id: z.string().min(1).max(200),
})
export type Actor = z.infer<typeof actorSchema>

/** Whoever holds `admin.token`, which only the owner of the data directory can read. */
export const owner: Actor = { kind: 'token', id: 'admin' }
export const isOwner = (actor: Actor) => actor.kind === owner.kind && actor.id === owner.id

export const eventMetadataSchema = z.object({
  /** UUID. Appending the same id to the same stream again changes nothing. */
  eventId: z.uuid(),
  actor: actorSchema,
  /** One per request from outside; everything it led to carries the same one. */
  correlationId: z.string(),
  /** The event that led to this one. */
  causationId: z.string().optional(),
  /** ISO 8601 UTC with milliseconds, by the writer's clock. */
  occurredAt: z.iso.datetime(),
  /** Set on events that came from a host's fact: its host, and its number among the facts of that run. */
  fact: z.object({ host: z.string(), sequence: z.number().int().positive() }).optional(),
})
export type EventMetadata = z.infer<typeof eventMetadataSchema>

/** An event as a writer hands it to the store. `data` is JSON; `v` is the version of its schema. */
export type NewEvent<Type extends string = string, Data = unknown> = {
  readonly type: Type
  readonly v: number
  readonly data: Data
  readonly metadata: EventMetadata
}

/** An event as the store gives it back. */
export type RecordedEvent<Type extends string = string, Data = unknown> = NewEvent<Type, Data> & {
  readonly stream: string
  /** 0 for the first event of its stream. */
  readonly revision: number
  /** From 1; larger means committed later. How far two are apart means nothing. */
  readonly position: number
  /** ISO 8601 UTC, by the store's clock. Nothing may be derived from it. */
  readonly recordedAt: string
}
