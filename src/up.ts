import { join } from 'node:path'
import { pino } from 'pino'
import type { UpOptions, UpResult } from './cli/composed.ts'
import { type Config, ConfigurationError, readConfig } from './config.ts'
import { createAuditSpool } from './control/audit-spool.ts'
import { createControl, type RunningControl } from './control/create-control.ts'
import { delayOrAbort } from './control/delay.ts'
import type { Log } from './control/log.ts'
import { WrongStore } from './data-binding.ts'
import { diskPlaces } from './disk-places.ts'
import { dispatchCheckpoint } from './dispatch-checkpoint.ts'
import { StoreAccessDenied } from './event-store/event-store.ts'
import { createHost, type Host } from './host/host.ts'
import { forgetExport } from './last-export.ts'
import { leaveOwnRun } from './leave-own-run.ts'
import { DataDirectoryError, prepareDataDirectory, resolveDataDirectory } from './os/data-directory.ts'
import { claimDataDirectory, type Ownership } from './os/ownership.ts'
import { readIdentity } from './os/process-identity.ts'
import { type EmbeddedPostgres, type PreparedPostgres, prepareEmbeddedPostgres } from './postgres/embedded.ts'
import { EmbeddedPostgresError } from './postgres/embedded-error.ts'
import { DatabaseTooNew } from './postgres/migrate.ts'
import { createAuthenticator, loadAdminToken, UnsafeTokenFile } from './server/auth.ts'
import { CannotListen, createHttpServer, PortInUse } from './server/http-server.ts'
import { createShutdown, type Shutdown } from './shutdown.ts'
import { openStore, type StoreConnection, UnfinishedImport } from './store-connection.ts'

export type UpDeps = { env: NodeJS.ProcessEnv; version: string; say: (line: string) => void }

/** How long a start waits for the store before it serves without it (503 on /readyz) and goes on trying. */
const storeWaitMs = 2_000
/** The same for an embedded PostgreSQL that has data: its start takes 0.1 s, after a crash as long as its log to replay. */
const postgresWaitMs = 10_000

/** Serves until SIGTERM or SIGINT. Runs outlive the server: the next one adopts them. */
export async function up(options: UpOptions, deps: UpDeps): Promise<UpResult> {
  leaveOwnRun(deps.env)
  const shutdown = createShutdown()
  const stopping = stopSignal(shutdown)
  const log = createLog(deps.env)
  try {
    const config = withOptions(readConfig(deps.env), options)
    const dataDirectory = await prepareDataDirectory(resolveDataDirectory(deps.env, process.getuid?.() ?? -1))
    const claim = await claimDataDirectory(dataDirectory, { takeOver: options.takeOver })
    if (!claim.ok) return { type: 'refused', reason: 'conflict', message: claim.message }
    shutdown.add('data directory', () => claim.owner.release())
    await forgetExport(dataDirectory)
    await serve({ config, dataDirectory, owner: claim.owner, log, shutdown, deps, stopping })
    return { type: 'stopped' }
  } catch (error) {
    // A stop that comes during the start ends whatever the start was waiting for.
    return stopping.aborted ? { type: 'stopped' } : refusal(error)
  } finally {
    await shutdown.run((name, error) => log.error({ err: error }, `closing ${name} broke`))
  }
}

type Serving = {
  config: Config
  dataDirectory: string
  owner: Ownership
  log: Log
  shutdown: Shutdown
  deps: UpDeps
  stopping: AbortSignal
}

async function serve(serving: Serving): Promise<void> {
  const { config, dataDirectory, owner, log, shutdown, deps, stopping } = serving
  const token = await loadAdminToken(dataDirectory)
  const postgres = await startPostgres(serving)
  const host = await startHost(serving, postgres)
  const connection = await openStore(config, postgres?.connection, dataDirectory, log)
  shutdown.add('store', () => connection.close())
  const control = createControl({
    ...connection,
    host,
    checkpoint: dispatchCheckpoint(dataDirectory),
    auditSpool: createAuditSpool(join(dataDirectory, 'audit-spool.jsonl'), log),
    log,
    now: () => new Date(),
    checkIntervalMs: config.checkIntervalMs,
    canaryIntervalMs: config.canaryIntervalMs,
    lowDisk: config.lowDisk,
    telemetryRetention: config.telemetryRetention,
    storeAway: connection.away,
  })
  shutdown.add('control', () => control.close())
  await connectStore(connection, control, log, stopping)
  const server = await createHttpServer({
    control,
    authenticate: createAuthenticator(token.token),
    port: config.port,
    address: config.address,
    log,
    version: deps.version,
  })
  shutdown.add('http server', () => server.close())
  await owner.update({ url: server.url })
  greet(serving, server.url, token.path, connection.away())
  await aborted(stopping)
  deps.say('Stopping. Runs that live go on; the next "runwarden up" adopts them.')
}

/**
 * Waits for the store, for a while; where it stays away, the server serves without it and goes on trying.
 * @throws where no retry helps, as long as the start waits
 */
async function connectStore(
  connection: StoreConnection,
  control: RunningControl,
  log: Log,
  stopping: AbortSignal,
): Promise<void> {
  const waited = new AbortController()
  const connected = connection
    .connect(() => control.start(), stopping)
    .catch((error: unknown) => {
      log.error({ err: error }, 'the event store cannot be used; /readyz says why')
      throw error
    })
    .finally(() => waited.abort())
  await Promise.race([connected, delayOrAbort(storeWaitMs, AbortSignal.any([waited.signal, stopping]))])
  // A failure that comes while we serve is told by /readyz.
  connected.catch(() => {})
}

/**
 * undefined where a URL is configured instead. A postmaster that dies while we serve is started again; one that takes
 * no connections for long is waited for beside: kills under way, and emergency kills, need no database.
 * @throws EmbeddedPostgresError where it cannot be started
 */
async function startPostgres({
  config,
  dataDirectory,
  log,
  shutdown,
  stopping,
}: Serving): Promise<PreparedPostgres | undefined> {
  if (config.databaseUrl !== undefined) return undefined
  const closing = new AbortController()
  const signal = AbortSignal.any([stopping, closing.signal])
  const prepared = await prepareEmbeddedPostgres({
    dataDirectory,
    account: config.postgresAccount,
    log: (message) => log.info({}, message),
    signal,
  })
  let starting = prepared.start()
  shutdown.add('PostgreSQL', async () => {
    closing.abort()
    await (await startedAtAll(starting))?.stop()
  })
  const waits = prepared.isNew ? [] : [delayOrAbort(postgresWaitMs, signal)]
  await Promise.race([starting, ...waits])
  const keep = async () => {
    while (!signal.aborted) {
      try {
        const exit = await (await starting).exited
        if (signal.aborted) return
        log.error({ exit }, 'PostgreSQL has ended; starting it again')
        await delayOrAbort(200, signal)
      } catch (error) {
        if (signal.aborted) return
        log.error({ err: error }, 'PostgreSQL could not be started; trying again')
        await delayOrAbort(2_000, signal)
      }
      if (!signal.aborted) starting = prepared.start()
    }
  }
  void keep()
  return prepared
}

/** undefined: the start was broken off, and has left nothing running. @throws STOP_FAILED: or it could not */
async function startedAtAll(starting: Promise<EmbeddedPostgres>): Promise<EmbeddedPostgres | undefined> {
  try {
    return await starting
  } catch (error) {
    if (error instanceof EmbeddedPostgresError && error.code === 'STOP_FAILED') throw error
    return undefined
  }
}

async function startHost(
  { config, dataDirectory, log, shutdown }: Serving,
  postgres: PreparedPostgres | undefined,
): Promise<Host> {
  const host = await createHost({
    hostDirectory: join(dataDirectory, 'host'),
    capacity: config.capacity,
    sampleIntervalMs: config.checkIntervalMs,
    salvageMaxBytes: config.salvageMaxBytes,
    retention: config.retention,
    diskPlaces: diskPlaces(dataDirectory, config),
    cgroups: config.cgroups,
    cli: [process.execPath, join(import.meta.dirname, '../bin/runwarden.mjs')],
    clock: () => new Date(),
    log,
    protectedProcesses: () => [readIdentity(process.pid), postgres?.identity()].filter((known) => known !== undefined),
    forbiddenAccounts: postgres === undefined ? [] : [postgres.account],
  })
  shutdown.add('host', () => host.close())
  await host.start()
  return host
}

const withOptions = (config: Config, { port, address, capacity }: UpOptions): Config => ({
  ...config,
  port: port ?? config.port,
  address: address ?? config.address,
  capacity: capacity ?? config.capacity,
})

function greet({ dataDirectory, deps }: Serving, url: string, tokenPath: string, away: string | undefined): void {
  deps.say(`Runwarden ${deps.version} serves at ${url}/graphql`)
  deps.say(`  data       ${dataDirectory}`)
  deps.say(`  token      ${tokenPath} (the CLI finds it by itself)`)
  if (away !== undefined) deps.say(`  NOT READY  the event store is away: ${away}`)
  deps.say('  try        runwarden run -- sleep 3600      then: runwarden ls, runwarden kill RUN')
}

/** JSON lines on stderr; stdout belongs to the greeting. */
function createLog(env: NodeJS.ProcessEnv): Log {
  const level = env.RUNWARDEN_LOG_LEVEL || 'info'
  return pino(
    {
      level: level in pino.levels.values || level === 'silent' ? level : 'info',
      serializers: { err: describeError },
    },
    pino.destination(2),
  )
}

/** Chosen fields only: errors of the database driver carry their whole connection, password included. */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { name, message, stack, cause } = error
  const code = (error as NodeJS.ErrnoException).code
  return { type: name, message, code, stack, cause: cause === undefined ? undefined : describeError(cause) }
}

/** Aborts at the first SIGTERM, SIGINT or SIGHUP; further ones change nothing, for a stop is bounded by itself. */
function stopSignal(shutdown: Shutdown): AbortSignal {
  const controller = new AbortController()
  const stop = () => controller.abort()
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, stop)
    shutdown.add(signal, () => process.off(signal, stop))
  }
  return controller.signal
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })

/** What a user can mend is told in a sentence; everything else is a bug and keeps its stack. */
function refusal(error: unknown): UpResult {
  const reason = reasonOf(error)
  if (reason === undefined) throw error
  const message = (error as Error).message
  return { type: 'refused', reason, message: isDatabaseRefusal(error) ? `The database refuses: ${message}.` : message }
}

/** SQLSTATE class 28: wrong user or password; 3D: no such database. What the message says holds no password. */
const isDatabaseRefusal = (error: unknown) => /^(28|3D)...$/.test(String((error as NodeJS.ErrnoException).code))

function reasonOf(error: unknown): Extract<UpResult, { type: 'refused' }>['reason'] | undefined {
  if (error instanceof ConfigurationError || error instanceof DataDirectoryError || error instanceof CannotListen)
    return 'usage'
  if (
    error instanceof PortInUse ||
    error instanceof WrongStore ||
    error instanceof UnfinishedImport ||
    error instanceof DatabaseTooNew
  )
    return 'conflict'
  if (error instanceof UnsafeTokenFile) return 'failure'
  if (error instanceof EmbeddedPostgresError || isDatabaseRefusal(error)) return 'unavailable'
  if (error instanceof StoreAccessDenied) return 'unavailable'
  return undefined
}
