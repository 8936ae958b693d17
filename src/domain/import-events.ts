import { z } from 'zod'
import type { RecordedEvent } from './event.ts'
import { type EventFamily, readEvent } from './read-event.ts'

/**
 * What a store knows of the history that was brought into it: about the store itself, so no part of the history, and
 * left out when it is exported again.
 */
export const importStream = 'import'

const importEventSchemas = {
  /** The first event of such a store. Until the import is completed, what the store holds is a part of something. */
  ImportBegun: z.object({
    /** Of the lines of the file, in hex: which history it is. */
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    /** So many it has. */
    events: z.number().int().nonnegative(),
    /** The store that it was exported from, when, and by which version of Runwarden. */
    from: z.uuid(),
    exportedAt: z.iso.datetime(),
    by: z.string().max(100),
  }),
  /** All of it is there, and was compared with the file. */
  ImportCompleted: z.object({ sha256: z.string().regex(/^[0-9a-f]{64}$/) }),
} as const

export const importEvents: EventFamily<typeof importEventSchemas> = { schemas: importEventSchemas, upcasters: {} }

type ImportEventType = keyof typeof importEventSchemas
export type ImportEventBody = {
  [Type in ImportEventType]: { type: Type; data: z.infer<(typeof importEventSchemas)[Type]> }
}[ImportEventType]
export type RecordedImportEvent = {
  [Type in ImportEventType]: RecordedEvent<Type, z.infer<(typeof importEventSchemas)[Type]>>
}[ImportEventType]

/** undefined for an event that is none of an import's. @throws Error when the data does not fit its schema. */
export function readImportEvent(event: RecordedEvent): RecordedImportEvent | undefined {
  return readEvent(importEvents, event)
}
