import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const temporaryPrefix = 'rw-test-'

/** A whole test run's directory: followed by the pid of its vitest. */
export const runPrefix = `${temporaryPrefix}run-`

/** Whose directory this is by its name; undefined where it is no test run's. */
export function runOwner(name: string): number | undefined {
  const pid = name.startsWith(runPrefix) ? Number.parseInt(name.slice(runPrefix.length), 10) : 0
  return pid > 0 ? pid : undefined
}

/** A new directory that other accounts, such as PostgreSQL's, can pass through. Remove it when the test is over. */
export function makeTemporaryDirectory(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), temporaryPrefix))
  chmodSync(path, 0o711)
  return { path, remove: () => rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 }) }
}
