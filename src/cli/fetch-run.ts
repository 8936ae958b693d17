import type { RunDetails } from './answers.ts'
import type { Connection } from './connection.ts'
import { documents } from './documents.ts'
import { runNotFound } from './problems.ts'

/** The run as it is now. @throws CliError not found */
export async function fetchRun(server: Connection, id: string): Promise<RunDetails> {
  const { run } = await server.request<{ run: RunDetails | null }>(documents.run, { id })
  if (run === null) throw runNotFound(id)
  return run
}
