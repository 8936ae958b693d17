import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

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
  const path = join(dataDirectory, 'store-id')
  const bound = await readBinding(path)
  if (bound === undefined) await writeFile(path, `${storeId}\n`, { flag: 'wx', mode: 0o600, flush: true })
  else if (bound !== storeId) {
    throw new WrongStore(
      `The data directory ${dataDirectory} belongs to the event store ${bound}; the one that was reached is ${storeId}. ` +
        'Set DATABASE_URL (EVENT_STORE_URL) to the store that belongs to it, or RUNWARDEN_DATA_DIR to another directory.',
    )
  }
}

async function readBinding(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
