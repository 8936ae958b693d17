import type { z } from 'zod'
import type { RecordedEvent } from './event.ts'

type Schemas = Record<string, z.ZodType>
type ReadEvent<Known extends Schemas> = {
  [Type in keyof Known & string]: RecordedEvent<Type, z.infer<Known[Type]>>
}[keyof Known & string]

/**
 * Reads a recorded event as one of the types that are known.
 * @returns undefined for a type that is not among them (somebody else's, or written by a newer version).
 * @throws Error when the type is known and the data does not fit its schema.
 */
export function readEvent<Known extends Schemas>(schemas: Known, event: RecordedEvent): ReadEvent<Known> | undefined {
  const schema = Object.hasOwn(schemas, event.type) ? schemas[event.type] : undefined
  if (schema === undefined) return undefined
  const parsed = schema.safeParse(event.data)
  if (!parsed.success) {
    throw new Error(`event ${event.position} of ${event.stream}: ${event.type} v${event.v} does not fit its schema`, {
      cause: parsed.error,
    })
  }
  return { ...event, data: parsed.data } as ReadEvent<Known>
}
