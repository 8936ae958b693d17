import type { z } from 'zod'
import type { RecordedEvent } from './event.ts'

type Schemas = Readonly<Record<string, z.ZodType>>

/** From the data of version v to that of v + 1. Pure: the same events must give the same rows for ever. */
export type Upcaster = (data: unknown) => unknown

/** The events of one kind of stream. */
export type EventFamily<Known extends Schemas = Schemas> = {
  /** What is written today, by type. */
  schemas: Known
  /** By type the steps from each older version to the next, the first from version 1; none: version 1 is today's. */
  upcasters: { readonly [Type in keyof Known]?: readonly Upcaster[] }
}

type ReadEvent<Known extends Schemas> = {
  [Type in keyof Known & string]: RecordedEvent<Type, z.infer<Known[Type]>>
}[keyof Known & string]

/** The version that is written today. A change of what is accepted raises it, by one more upcaster. */
export const versionIn = <Known extends Schemas>({ upcasters }: EventFamily<Known>, type: keyof Known): number =>
  (upcasters[type]?.length ?? 0) + 1

/** Of every type. */
export const versionsIn = <Known extends Schemas>(family: EventFamily<Known>) =>
  Object.fromEntries(Object.keys(family.schemas).map((type) => [type, versionIn(family, type)])) as {
    readonly [Type in keyof Known]: number
  }

/**
 * Reads a recorded event as one of a family, in the shape of today: the one place where older versions are brought up
 * to date.
 * @returns undefined for what is not known: another type, or a version that only a newer Runwarden writes. Whoever
 *   folds passes over it.
 * @throws Error when type and version are known and the data does not fit.
 */
export function readEvent<Known extends Schemas>(
  family: EventFamily<Known>,
  event: RecordedEvent,
): ReadEvent<Known> | undefined {
  const schema = Object.hasOwn(family.schemas, event.type) ? family.schemas[event.type] : undefined
  if (schema === undefined) return undefined
  const current = versionIn(family, event.type)
  if (event.v < 1 || event.v > current) return undefined
  try {
    const steps = family.upcasters[event.type]?.slice(event.v - 1) ?? []
    const data = schema.parse(steps.reduce((older, step) => step(older), event.data))
    return { ...event, v: current, data } as ReadEvent<Known>
  } catch (cause) {
    const which = `${event.type} v${event.v}`
    throw new Error(`event ${event.position} of ${event.stream}: ${which} does not fit its schema`, { cause })
  }
}
