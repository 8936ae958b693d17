import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from './config.ts'
import { type EventStore, StoreUnavailable } from './event-store/event-store.ts'
import { createPostgresEventStore } from './event-store/postgres.ts'
import { openEvents } from './open-events.ts'
import { prepareDataDirectory } from './os/data-directory.ts'
import { type Claim, claimDataDirectory } from './os/ownership.ts'
import { isGone } from './os/process-identity.ts'
import { takesConnections } from './postgres/connect.ts'
import { type PreparedPostgres, prepareEmbeddedPostgres } from './postgres/embedded.ts'
import type { Shutdown } from './shutdown.ts'

/** The store of a command that reads or writes it without a server, or beside one. */
export type ReachedStore = {
  store: EventStore
  /** undefined: there is none, and none is needed. */
  directory: Held | undefined
}

type Held = { path: string; claim: Claim }

type Wanted = {
  config: Config
  /** As it is configured; it need not exist. */
  dataDirectory: string
  /** Make what is missing: the directory, and the database in it. */
  make: boolean
  shutdown: Shutdown
  say: (line: string) => void
  signal: AbortSignal
}

/** Nothing is there that could be read. */
export class NoStoreHere extends Error {
  override readonly name = 'NoStoreHere'
}

/**
 * Opens the store that is configured, and holds the data directory meanwhile, where nobody else does. An embedded
 * PostgreSQL is started where it does not run; that of a server that does is used beside it.
 * @throws NoStoreHere, StoreUnavailable, DataDirectoryError, EmbeddedPostgresError
 */
export async function reachStore(wanted: Wanted): Promise<ReachedStore> {
  const { config, dataDirectory, make, shutdown } = wanted
  const embedded = config.eventStoreUrl === undefined
  if (embedded && !make && !existsSync(join(dataDirectory, 'postgres', 'cluster'))) {
    throw new NoStoreHere(
      `There is no history in the data directory ${dataDirectory}: no server has ever stored one there.`,
    )
  }
  const directory = (embedded && make) || (await exists(dataDirectory)) ? await hold(wanted) : undefined
  const store =
    config.eventStoreUrl === undefined
      ? createPostgresEventStore({ connection: await embeddedConnection(wanted, directory as Held) })
      : await openEvents(config.eventStoreUrl)
  shutdown.add('store', () => store.close())
  return { store, directory }
}

async function hold({ dataDirectory, shutdown }: Wanted): Promise<Held> {
  const path = await prepareDataDirectory(dataDirectory)
  const claim = await claimDataDirectory(path)
  if (claim.ok) shutdown.add('data directory', () => claim.owner.release())
  return { path, claim }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (isGone(error)) return false
    throw error
  }
}

async function embeddedConnection(
  { config, shutdown, say, signal }: Wanted,
  { path, claim }: Held,
): Promise<PreparedPostgres['connection']> {
  const prepared = await prepareEmbeddedPostgres({
    ...{ dataDirectory: path, account: config.postgresAccount, log: say, signal },
  })
  if (claim.ok) {
    const postgres = await prepared.start()
    shutdown.add('PostgreSQL', () => postgres.stop())
  } else if (!(await takesConnections(prepared.connection.host))) {
    throw new StoreUnavailable(`${claim.message} Its PostgreSQL takes no connections yet: try again.`)
  }
  return prepared.connection
}
