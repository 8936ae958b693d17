import type { RunDetails } from './answers.ts'
import type { Connection } from './connection.ts'
import { documents } from './documents.ts'
import { CliError, exitCodes } from './exit-codes.ts'
import { runNotFound } from './problems.ts'

/**
 * The run as it is, or as it was right after a revision of its stream.
 * @throws CliError not found
 */
export async function fetchRun(server: Connection, id: string, revision?: number): Promise<RunDetails> {
  if (revision === undefined) {
    const { run } = await server.request<{ run: RunDetails | null }>(documents.run, { id })
    if (run === null) throw runNotFound(id)
    return run
  }
  const { runAt } = await server.request<{ runAt: RunDetails | null }>(documents.runAt, { id, revision })
  if (runAt !== null) return runAt
  const { revision: newest } = await fetchRun(server, id)
  throw new CliError(exitCodes.notFound, `${id} has no revision ${revision}; its newest is ${newest}.`)
}
