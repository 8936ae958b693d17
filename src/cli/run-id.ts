import type { Page, RunRow } from './answers.ts'
import type { Connection } from './connection.ts'
import { documents } from './documents.ts'
import { CliError, exitCodes } from './exit-codes.ts'

/** As somebody types it: whole or its beginning, with or without `run_`. */
const typedId = /^(?:run_)?([0-9a-f]{4,12})$/
const hexDigits = 12
const namedMax = 5

/** How an id begins, and not the whole. */
export const isBeginning = (text: string) => (typedId.exec(text)?.[1]?.length ?? hexDigits) < hexDigits

/**
 * The run that is meant by an id, or by how one begins where that is unique; only then is the server asked. Anything else
 * is left to the server to judge.
 * @throws CliError not found; usage: several begin like this
 */
export async function meantRun(server: Connection, text: string): Promise<string> {
  const hex = typedId.exec(text)?.[1]
  if (hex === undefined) return text
  const idPrefix = `run_${hex}`
  if (hex.length === hexDigits) return idPrefix
  const { runs } = await server.request<{ runs: Page<RunRow> }>(documents.runs, {
    ...{ filter: { idPrefix }, first: namedMax + 1, after: null },
  })
  const ids = runs.edges.map(({ node }) => node.id)
  if (ids.length === 1 && ids[0] !== undefined) return ids[0]
  if (ids.length === 0) {
    const wayOut = 'See `runwarden ls --all` for those that there are.'
    throw new CliError(exitCodes.notFound, `There is no run whose id begins with ${idPrefix}.`, wayOut)
  }
  const named = `${ids.slice(0, namedMax).join(', ')}${ids.length > namedMax ? ', …' : ''}`
  throw new CliError(exitCodes.usage, `More than one run begins with ${idPrefix}: ${named}.`, 'Give more digits.')
}
