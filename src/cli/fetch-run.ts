import type { RunDetails } from './answers.ts'
import type { Connection, RequestLimits } from './connection.ts'
import { documents } from './documents.ts'
import { runNotFound } from './problems.ts'

/** The run as it is now. @throws CliError not found */
export async function fetchRun(server: Connection, id: string, limits: RequestLimits = {}): Promise<RunDetails> {
  const { run } = await server.request<{ run: RunDetails | null }>(documents.run, { id }, limits)
  if (run === null) throw runNotFound(id)
  return run
}
