import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DispatchCheckpoint } from './control/host-dispatcher.ts'

/**
 * Kept in the host's data directory, because it says what this host has been told. It need not be durable: an older
 * position only makes the host hear again what it knows.
 */
export function dispatchCheckpoint(dataDirectory: string): DispatchCheckpoint {
  const path = join(dataDirectory, 'dispatched-position')
  return {
    async read() {
      try {
        const position = Number(await readFile(path, 'utf8'))
        return Number.isSafeInteger(position) && position >= 0 ? position : 0
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
        throw error
      }
    },
    async write(position) {
      await writeFile(`${path}.new`, String(position), { mode: 0o600 })
      await rename(`${path}.new`, path)
    },
  }
}
