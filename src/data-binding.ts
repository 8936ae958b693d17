import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeAtomically } from './host/run-directory.ts'

/** The store that was reached is not the one that this data directory's runs are recorded in. */
export class WrongStore extends Error {
  override readonly name = 'WrongStore'
}

/**
 * Binds a data directory to its store, for good: with a wrong DATABASE_URL the runs on disk would be strangers to the
 * store, and what the store says of its own runs would be nothing that this host has.
 * @throws WrongStore
 */
export async function bindToStore(dataDirectory: string, storeId: string): Promise<void> {
  const bound = await boundStoreOf(dataDirectory)
  if (bound === undefined) {
    await writeFile(bindingPath(dataDirectory), `${storeId}\n`, { flag: 'wx', mode: 0o600, flush: true })
  }
  if (bound !== undefined && bound !== storeId) {
    throw new WrongStore(
      `The data directory ${dataDirectory} belongs to the event store ${bound}; the one that was reached is ${storeId}. ` +
        'Set DATABASE_URL (EVENT_STORE_URL) to the store that belongs to it, or RUNWARDEN_DATA_DIR to another directory.',
    )
  }
}

const bindingPath = (dataDirectory: string) => join(dataDirectory, 'store-id')

/** Id of the store that a data directory is bound to; undefined: it has not met one yet. */
export async function boundStoreOf(dataDirectory: string): Promise<string | undefined> {
  try {
    return (await readFile(bindingPath(dataDirectory), 'utf8')).trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** The history of its runs is in another store from now on. */
export const bindAnew = (dataDirectory: string, storeId: string) =>
  writeAtomically(bindingPath(dataDirectory), `${storeId}\n`)
