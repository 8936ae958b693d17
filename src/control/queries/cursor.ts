import type { z } from 'zod'
import { InvalidCursor } from './page.ts'

/**
 * Cursors of one list: opaque to clients, and checked when they come back.
 * @param list in every cursor, so that one of another list is refused.
 * @param key what tells where an item stands in the list's order.
 */
export function cursorsOf<Key extends z.ZodType>(list: string, key: Key) {
  return {
    encode: (value: z.infer<Key>): string => Buffer.from(JSON.stringify([list, value])).toString('base64url'),
    /** @throws InvalidCursor */
    decode(cursor: string): z.infer<Key> {
      const [madeFor, value] = parse(cursor)
      const parsed = key.safeParse(value)
      if (madeFor !== list || !parsed.success) throw new InvalidCursor(cursor, { cause: parsed.error })
      return parsed.data
    },
  }
}

function parse(cursor: string): unknown[] {
  try {
    const decoded: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    if (Array.isArray(decoded)) return decoded
  } catch (error) {
    throw new InvalidCursor(cursor, { cause: error })
  }
  throw new InvalidCursor(cursor)
}
