import type { Page } from './answers.ts'

/** The most that the server gives at once. */
const pageMax = 500

/**
 * Every node of a connection, page by page, at most `limit`.
 * @param fetchPage `first` nodes after the cursor
 * @returns `more`: the limit cut it off
 */
export async function eachNode<Node>(
  fetchPage: (first: number, after: string | null) => Promise<Page<Node>>,
  limit: number,
  visit: (node: Node, cursor: string | undefined) => Promise<void>,
  from: string | null = null,
): Promise<{ more: boolean }> {
  let left = limit
  let after = from
  while (left > 0) {
    const { edges, pageInfo } = await fetchPage(Math.min(left, pageMax), after)
    for (const { node, cursor } of edges) await visit(node, cursor)
    left -= edges.length
    after = pageInfo.endCursor
    if (!pageInfo.hasNextPage || edges.length === 0) return { more: false }
  }
  return { more: true }
}
