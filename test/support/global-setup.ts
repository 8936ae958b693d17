import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import type { EmbeddedConnection } from '../../src/postgres/connect.ts'
import { startEmbeddedPostgres } from '../../src/postgres/embedded.ts'
import { stopPostmaster, whoServes } from '../../src/postgres/postmaster.ts'
import { findLeaks, lookAround } from './leaks.ts'
import { runOwner, runPrefix } from './temporary-directory.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** The server of this test run; `createTestDatabase` makes databases in it. */
    postgres: EmbeddedConnection
  }
}

/**
 * Runs once around the whole suite: one real PostgreSQL for all tests, and a temporary directory of this run's own, in
 * which everything that tests make by `os.tmpdir()` ends up. So what was left behind is found at the end, and laid at
 * the door of this run even when another one is going on beside it.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const outside = tmpdir()
  await removeAbandoned(outside)
  const root = mkdtempSync(join(outside, `${runPrefix}${process.pid}-`))
  chmodSync(root, 0o711)
  const [server, scratch] = [join(root, 'server'), join(root, 't')]
  mkdirSync(server, { mode: 0o711 })
  mkdirSync(scratch)
  // As open as /tmp: agents of several accounts work in it.
  chmodSync(scratch, 0o1777)
  process.env.TMPDIR = scratch
  const postgres = await startEmbeddedPostgres({ dataDirectory: server }).catch((error) => {
    rmSync(root, { recursive: true, force: true })
    throw error
  })
  project.provide('postgres', postgres.connection)
  const before = lookAround(outside)

  return async () => {
    const leaks = await findLeaks({ scratch, outside, before, postgres }).finally(async () => {
      await postgres.stop()
      rmSync(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
    })
    if (leaks.length > 0) throw new Error(`Tests left something behind:\n  ${leaks.join('\n  ')}`)
  }
}

/** A test run that was killed could not tidy up after itself. */
async function removeAbandoned(outside: string): Promise<void> {
  for (const name of readdirSync(outside)) {
    const owner = runOwner(name)
    if (owner === undefined || existsSync(`/proc/${owner}`)) continue
    const cluster = join(outside, name, 'server', 'postgres', 'cluster')
    const serving = whoServes(cluster)
    if (serving.state === 'running') await stopPostmaster(serving.identity)
    rmSync(join(outside, name), { recursive: true, force: true })
  }
}
