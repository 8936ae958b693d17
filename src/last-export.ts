import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { writeAtomically } from './host/run-directory.ts'
import { isGone } from './os/process-identity.ts'

const path = (dataDirectory: string) => join(dataDirectory, 'last-export.json')
const schema = z.object({ storeId: z.string(), sha256: z.string() })

/**
 * Kept beside the runs of a host while no server has run since: this export of its store has all that the host has
 * told. So the runs may go on with the store that it is brought to.
 */
export const noteExport = (dataDirectory: string, made: z.infer<typeof schema>) =>
  writeAtomically(path(dataDirectory), JSON.stringify(made))

/** A server is about to run: the history goes on without that export. */
export const forgetExport = (dataDirectory: string) => rm(path(dataDirectory), { force: true })

/** Nothing was told to the store since this very export of it. */
export async function isLastExport(
  dataDirectory: string,
  { storeId, sha256 }: z.infer<typeof schema>,
): Promise<boolean> {
  try {
    const made = schema.parse(JSON.parse(await readFile(path(dataDirectory), 'utf8')))
    return made.storeId === storeId && made.sha256 === sha256
  } catch (error) {
    if (isGone(error) || error instanceof SyntaxError || error instanceof z.ZodError) return false
    throw error
  }
}
