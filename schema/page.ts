import { GraphQLError } from 'graphql'
import type { Page, PageRequest } from '../src/control/queries/page.ts'

/** The largest page of any list. */
const pageMax = 500

/** Says what is wrong with an argument, and that asking again the same way will not help. */
export const badUserInput = (message: string) => new GraphQLError(message, { extensions: { code: 'BAD_USER_INPUT' } })

/** @throws GraphQLError BAD_USER_INPUT */
export function pageRequest(args: { first?: number | null; after?: string | null }, standard: number): PageRequest {
  const first = args.first ?? standard
  if (first < 1 || first > pageMax) throw badUserInput(`"first" is ${first}; it must be from 1 to ${pageMax}.`)
  return { first, after: args.after }
}

/** A whole number from `min` on that JSON can carry: offsets and sizes are larger than GraphQL's Int. @throws GraphQLError BAD_USER_INPUT */
export function wholeNumber(name: string, value: number, min: number, max = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value
  throw badUserInput(`"${name}" is ${value}; it must be a whole number from ${min} to ${max}.`)
}

/** Text to search for. NUL: PostgreSQL's text cannot hold it, so that it is in no name. @throws GraphQLError BAD_USER_INPUT */
export function searchText(name: string, text: string): string {
  if (!text.includes('\0')) return text
  throw badUserInput(`"${name}" holds a NUL character, which nothing that could be found has.`)
}

/** A page in the shape of a Relay connection. */
export function connection<Item, Node>(
  { items, hasNextPage }: Page<Item>,
  after: string | null | undefined,
  toNode: (item: Item) => Node,
) {
  return {
    edges: items.map(({ item, cursor }) => ({ cursor, node: toNode(item) })),
    pageInfo: {
      hasNextPage,
      hasPreviousPage: after != null,
      startCursor: items[0]?.cursor ?? null,
      endCursor: items.at(-1)?.cursor ?? null,
    },
  }
}

/** Drops, at any depth, what a client sent as null where it means "not given". */
export function given(input: unknown): unknown {
  if (Array.isArray(input)) return input.map(given)
  if (typeof input !== 'object' || input === null) return input
  const entries = Object.entries(input).filter(([, value]) => value !== null)
  return Object.fromEntries(entries.map(([name, value]) => [name, given(value)]))
}
