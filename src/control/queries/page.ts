/** `first` is 1–500; `after` is a cursor of an earlier page. */
export type PageRequest = { first: number; after?: string | null }

export type Page<Item> = { items: { item: Item; cursor: string }[]; hasNextPage: boolean }

/** The cursor was not made by this API. */
export class InvalidCursor extends Error {
  override readonly name = 'InvalidCursor'
  constructor(cursor: string, options?: ErrorOptions) {
    super(`"${cursor.slice(0, 100)}" is not a cursor of this list; pass back what pageInfo.endCursor gave.`, options)
  }
}

/** @param found one more than `first`, where there are so many: the last one only tells that there is a next page. */
export function pageOf<Item>(found: Item[], first: number, cursorOf: (item: Item) => string): Page<Item> {
  return {
    items: found.slice(0, first).map((item) => ({ item, cursor: cursorOf(item) })),
    hasNextPage: found.length > first,
  }
}
