import type { MoveRefusal } from './cli/composed.ts'
import { ConfigurationError } from './config.ts'
import { StoreAccessDenied, StoreUnavailable } from './event-store/event-store.ts'
import { ImportDiffers, StoreNotEmpty } from './event-store/history-import.ts'
import { DamagedHistory } from './event-store/history-lines.ts'
import { DataDirectoryError } from './os/data-directory.ts'
import { EmbeddedPostgresError } from './postgres/embedded-error.ts'
import { DatabaseTooNew } from './postgres/migrate.ts'
import { NoStoreHere } from './reach-store.ts'

/** What a user can mend is told in a sentence; everything else is a bug and keeps its stack. */
export function refusalOfMove(error: unknown, signal: AbortSignal, file: string | undefined): MoveRefusal {
  if (signal.aborted) return { type: 'interrupted' }
  const refused = (reason: Extract<MoveRefusal, { type: 'refused' }>['reason'], wayOut?: string): MoveRefusal => ({
    ...{ type: 'refused', reason, message: (error as Error).message },
    ...(wayOut === undefined ? {} : { wayOut }),
  })
  if (error instanceof ConfigurationError || error instanceof DataDirectoryError) return refused('usage')
  if (error instanceof NoStoreHere) {
    return refused(
      'not-found',
      'Name the directory with RUNWARDEN_DATA_DIR, or the store with DATABASE_URL (EVENT_STORE_URL).',
    )
  }
  if (error instanceof DamagedHistory) {
    const message = `${file} is no whole history, and nothing was written. ${error.message}`
    return { type: 'refused', reason: 'failure', message, wayOut: 'Take another copy of the file, or export again.' }
  }
  if (error instanceof StoreNotEmpty) {
    return refused(
      'conflict',
      'A history is imported into an empty store only. Take a new data directory (RUNWARDEN_DATA_DIR) or a new, empty database.',
    )
  }
  if (error instanceof ImportDiffers) {
    return refused('failure', 'Stop whoever else uses this store, empty it, and import again.')
  }
  if (error instanceof DatabaseTooNew) return refused('conflict')
  const isAway = [StoreUnavailable, StoreAccessDenied, EmbeddedPostgresError].some((kind) => error instanceof kind)
  if (isAway) return refused('unavailable')
  const { code, syscall, path } = error as NodeJS.ErrnoException
  if (code === 'EISDIR') return { type: 'refused', reason: 'usage', message: `${file} is a directory.` }
  if (code === 'ENOENT' && path === file)
    return { type: 'refused', reason: 'not-found', message: `There is no file ${file}.` }
  if (syscall !== undefined) {
    return {
      type: 'refused',
      reason: 'failure',
      message: `${file ?? 'stdout'} cannot be read or written: ${(error as Error).message}.`,
    }
  }
  const { code: sqlState } = error as { code?: unknown }
  if (/^(28|3D)...$/.test(String(sqlState))) return refused('unavailable')
  throw error
}
