import { closeSync, existsSync } from 'node:fs'
import { chmod, lstat, mkdir, realpath, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { ProcessIdentity } from '../domain/process-identity.ts'
import { isAlive, isGone } from '../os/process-identity.ts'
import {
  checkReach,
  chooseSocketDirectory,
  makeSocketDirectory,
  removeSocketDirectory,
  socketName,
  writeAccessRules,
} from './access.ts'
import { type Account, chooseAccount } from './account.ts'
import { findBinaryPackage, prepareBinaries } from './binaries.ts'
import { prepareCluster } from './cluster.ts'
import { connectionTo, type EmbeddedConnection, ensureDatabase, takesConnections } from './connect.ts'
import { diskFull, EmbeddedPostgresError, explainFileError, saysDiskFull } from './embedded-error.ts'
import {
  adoptPostmaster,
  type Postmaster,
  type PostmasterExit,
  spawnPostmaster,
  stopPostmaster,
  whoServes,
} from './postmaster.ts'
import { serverLog } from './server-log.ts'
import { settings } from './settings.ts'

export type EmbeddedPostgresOptions = {
  /** Absolute; exists (os/data-directory.ts makes it), and this process owns it (os/ownership.ts). */
  dataDirectory: string
  /** Whom it runs as when we are root; else chosen among the accounts that exist. */
  account?: string | undefined
  log?(message: string): void
  signal?: AbortSignal
}

export type EmbeddedPostgres = {
  connection: EmbeddedConnection
  /** It was running already: left behind by a process that crashed. */
  adopted: boolean
  /** Of the postmaster. No run may be this process, nor run as `account`, which can read the data. */
  identity: ProcessIdentity
  account: string
  /** Everything on disk, the process gone. May be called twice. */
  stop(): Promise<void>
  /** Resolves when the postmaster has ended, for whatever reason; `startEmbeddedPostgres` may then be called again. */
  exited: Promise<PostmasterExit>
}

/** What is known before it runs. */
export type PreparedPostgres = {
  /** Where it will serve. */
  connection: EmbeddedConnection
  account: string
  /** Nothing was ever stored here: a start has all of the database to make. */
  isNew: boolean
  /** Of the postmaster that was adopted or started last, whether it takes connections yet or not. */
  identity(): ProcessIdentity | undefined
  /**
   * Starts or adopts it, and waits until it takes connections.
   * @throws EmbeddedPostgresError; the reason of the signal when it aborted, with nothing left running
   */
  start(): Promise<EmbeddedPostgres>
}

const database = 'runwarden'
/** Recovery after a crash replays at most max_wal_size: seconds, on a slow disk minutes. */
const startTimeoutMs = 5 * 60_000
/** A killed postmaster's children notice its death and let go of the shared memory within milliseconds. */
const remainsTimeoutMs = 20_000

/** Prepared and started. @throws as both do */
export const startEmbeddedPostgres = async (options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> =>
  (await prepareEmbeddedPostgres(options)).start()

/**
 * A real PostgreSQL in `<dataDirectory>/postgres`, reachable through a socket that only we may open. Made when there is
 * none, adopted when it is already running.
 * @throws EmbeddedPostgresError
 */
export async function prepareEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<PreparedPostgres> {
  const { signal, log = () => {} } = options
  signal?.throwIfAborted()
  const home = await prepareHome(options.dataDirectory)
  const account = chooseAccount(
    options.account ?? (process.env.RUNWARDEN_POSTGRES_ACCOUNT || undefined),
    await ownerOf(home),
  )
  await checkReach(home, account, signal)
  const socketDirectory = await findSocketDirectory(home)
  const connection = connectionTo(socketDirectory, database)
  let identity: ProcessIdentity | undefined
  const begun = (postmaster: Postmaster) => {
    identity = postmaster.identity
  }

  async function startOrAdopt(): Promise<EmbeddedPostgres> {
    const running = await findRunning(home, begun, signal)
    const place = { home, account, socketDirectory }
    const postmaster = running ?? (await start(place, begun, log, signal))
    if (running !== undefined) log(`adopted the PostgreSQL that was left running (pid ${running.identity.pid})`)
    try {
      await ensureDatabase(socketDirectory, database)
    } catch (error) {
      await stopPostmaster(postmaster.identity)
      throw saysDiskFull(String(error)) ? diskFull(home, error) : error
    }
    const logKeeper = serverLog(logPath(home)).keepShort((error) => log(`cannot shorten PostgreSQL's log: ${error}`))
    void postmaster.exited.then(logKeeper.stop)
    return {
      connection,
      adopted: running !== undefined,
      identity: postmaster.identity,
      account: account.name,
      async stop() {
        await stopPostmaster(postmaster.identity)
        await removeSocketDirectory(socketDirectory)
      },
      exited: postmaster.exited,
    }
  }

  const isNew = !existsSync(clusterPath(home))
  return { connection, account: account.name, isNew, identity: () => identity, start: startOrAdopt }
}

/** That of the postmaster which is there, whatever TMPDIR was when it was started. */
async function findSocketDirectory(home: string): Promise<string> {
  const serving = whoServes(clusterPath(home))
  if (serving.state === 'running' && serving.socketDirectory !== '') return serving.socketDirectory
  return chooseSocketDirectory(home)
}

const clusterPath = (home: string) => join(home, 'cluster')
const logPath = (home: string) => join(home, 'server.log')

/** Ours, not PostgreSQL's: what lies in it can be replaced by nobody else. Other accounts may only pass through. */
async function prepareHome(dataDirectory: string): Promise<string> {
  try {
    const home = join(await realpath(dataDirectory), 'postgres')
    await mkdir(home, { recursive: true })
    await chmod(home, process.getuid?.() === 0 ? 0o711 : 0o700)
    return home
  } catch (error) {
    throw explainFileError(error, dataDirectory)
  }
}

async function ownerOf(home: string): Promise<number | undefined> {
  try {
    return (await lstat(clusterPath(home))).uid
  } catch (error) {
    if (isGone(error)) return undefined
    throw explainFileError(error, home)
  }
}

/** A live postmaster of this cluster, ready for connections; what a dead one left in the way is removed. */
async function findRunning(
  home: string,
  begun: (postmaster: Postmaster) => void,
  signal: AbortSignal | undefined,
): Promise<Postmaster | undefined> {
  const deadline = Date.now() + remainsTimeoutMs
  while (Date.now() < deadline) {
    const serving = whoServes(clusterPath(home))
    if (serving.state === 'nobody') return undefined
    if (serving.state === 'unclear')
      throw new EmbeddedPostgresError(
        'START_FAILED',
        `A PostgreSQL that Runwarden did not start (pid ${serving.identity.pid}) seems to work on ${clusterPath(home)}. Stop it and start again.`,
      )
    if (serving.state !== 'running') {
      await removeLocks(home, serving.socketDirectory)
      return undefined
    }
    if (serving.socketDirectory !== '') {
      const postmaster = adoptPostmaster(serving.identity, serving.socketDirectory)
      begun(postmaster)
      // Or it was on its way out: our predecessor was stopping it.
      if (await becameReady(postmaster, signal)) return postmaster
    }
    await delay(20, undefined, { signal })
  }
  return undefined
}

/**
 * PostgreSQL takes a zombie for a running server, and any process of its account that has this pid now. To remove the
 * files is safe: what is left of a killed server is found by the cluster's shared memory, whose key is the inode.
 */
async function removeLocks(home: string, socketDirectory: string): Promise<void> {
  await rm(join(clusterPath(home), 'postmaster.pid'), { force: true })
  if (socketDirectory !== '') await rm(join(socketDirectory, `${socketName}.lock`), { force: true })
}

async function start(
  { home, account, socketDirectory }: { home: string; account: Account; socketDirectory: string },
  begun: (postmaster: Postmaster) => void,
  log: (message: string) => void,
  signal: AbortSignal | undefined,
): Promise<Postmaster> {
  const binaries = await prepareBinaries(await findBinaryPackage(), account, home, signal)
  const made = await prepareCluster(home, account, binaries, signal)
  if (made === 'made') log(`made a PostgreSQL ${binaries.majorVersion} database in ${clusterPath(home)}`)
  await makeSocketDirectory(socketDirectory, account)
  const rules = await writeAccessRules(home)
  const launch = {
    cluster: clusterPath(home),
    socketDirectory,
    settings: [...settings, ...rules, `unix_socket_directories=${socketDirectory}`],
    account,
  }
  const output = serverLog(logPath(home))
  const deadline = Date.now() + remainsTimeoutMs
  for (;;) {
    const before = output.size()
    const logFd = output.open()
    const postmaster = await spawnPostmaster(binaries.postgres, { ...launch, logFd }).finally(() => closeSync(logFd))
    begun(postmaster)
    if (await becameReady(postmaster, signal)) return postmaster
    const said = output.tail(before)
    if (!saysRemains(said) || Date.now() > deadline) throw startFailure(said, home)
    await delay(100, undefined, { signal })
  }
}

/** Processes of a killed postmaster still hold the cluster. */
const saysRemains = (text: string) => /pre-existing shared memory block|lock file "[^"]*" already exists/.test(text)

function startFailure(said: string, home: string): EmbeddedPostgresError {
  if (saysDiskFull(said)) return diskFull(home, new Error(said))
  return new EmbeddedPostgresError(
    'START_FAILED',
    `PostgreSQL did not start. The end of ${logPath(home)}:\n${said || '(it wrote nothing)'}`,
  )
}

/**
 * Waits until it takes connections; false when it ended instead.
 * @throws EmbeddedPostgresError START_FAILED; the signal's reason. The postmaster is stopped then.
 */
async function becameReady(postmaster: Postmaster, signal: AbortSignal | undefined): Promise<boolean> {
  const deadline = Date.now() + startTimeoutMs
  try {
    while (isAlive(postmaster.identity)) {
      signal?.throwIfAborted()
      if (await takesConnections(postmaster.socketDirectory)) return true
      if (Date.now() > deadline) throw new Error(`it takes no connection after ${startTimeoutMs / 1000} s`)
      await delay(20, undefined, { signal })
    }
    return false
  } catch (cause) {
    await stopPostmaster(postmaster.identity)
    signal?.throwIfAborted()
    throw new EmbeddedPostgresError('START_FAILED', `PostgreSQL runs, but cannot be used: ${cause}`, { cause })
  }
}
