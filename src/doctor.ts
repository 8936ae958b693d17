import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { release, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DoctorCheck } from './cli/composed.ts'
import { type Config, readConfig } from './config.ts'
import { diskPlaces } from './disk-places.ts'
import { diskText, judgeDisk, lowDiskWayOut, thresholdText } from './domain/low-disk.ts'
import type { StoreStats } from './event-store/event-store.ts'
import { type CgroupBase, openCgroupBase, removeCgroupBase } from './host/cgroup.ts'
import { createDiskWatch } from './host/disk-watch.ts'
import { limitsCheck } from './host/host-report.ts'
import { limitingHost } from './host/limit-plan.ts'
import { openEvents } from './open-events.ts'
import { resolveDataDirectory } from './os/data-directory.ts'
import { readOwner } from './os/ownership.ts'
import { databaseAt, openPool } from './postgres/connection.ts'

type Look = (config: Config, dataDirectory: string) => Promise<DoctorCheck> | DoctorCheck

/** In the order in which a person would ask. */
const looks: Look[] = [
  platform,
  proofLevel,
  limits,
  procfs,
  pidReuse,
  dataDirectory,
  freeSpace,
  server,
  port,
  database,
  eventStore,
]

/** Looks at this machine; starts nothing that stays, signals nothing. */
export async function doctor(env: NodeJS.ProcessEnv): Promise<DoctorCheck[]> {
  const settings = settingsOf(env)
  if ('check' in settings) return [settings.check]
  const checks: DoctorCheck[] = []
  for (const look of looks) {
    try {
      checks.push(await look(settings.config, settings.directory))
    } catch (error) {
      checks.push({ name: look.name, status: 'fail', detail: (error as Error).message })
    }
  }
  return checks
}

function settingsOf(env: NodeJS.ProcessEnv): { config: Config; directory: string } | { check: DoctorCheck } {
  try {
    return { config: readConfig(env), directory: resolveDataDirectory(env, process.getuid?.() ?? -1) }
  } catch (error) {
    return { check: { name: 'configuration', status: 'fail', detail: (error as Error).message } }
  }
}

function platform(): DoctorCheck {
  const detail = `${process.platform} ${release()}, Node.js ${process.version}, uid ${process.getuid?.()}`
  if (process.platform === 'linux') return { name: 'platform', status: 'ok', detail }
  return {
    name: 'platform',
    status: 'fail',
    detail,
    wayOut: 'Runs are supervised through /proc and cgroups: that needs Linux.',
  }
}

async function proofLevel(config: Config): Promise<DoctorCheck> {
  const name = 'proof level'
  const why = config.cgroups === 'off' ? 'cgroups are turned off by RUNWARDEN_CGROUPS' : await whyNoCgroups()
  if (why === undefined)
    return { name, status: 'ok', detail: 'cgroup-v2: the kernel keeps the list of a run’s processes' }
  return {
    name,
    status: 'warn',
    detail: `process-scan: ${why}`,
    wayOut:
      'Kills work and are proven by reading /proc, but a chain of processes that replace themselves can end as ' +
      'KILL_UNVERIFIED. For proof by the kernel run as root, or in a delegated cgroup v2 subtree: ' +
      'systemd-run --user --scope -p Delegate=yes …',
  }
}

/** Tries them for real, in a cgroup of its own that is removed again. undefined: they can be used. */
async function whyNoCgroups(): Promise<string | undefined> {
  const found = await tryCgroups()
  return found.ok ? undefined : found.why
}

async function tryCgroups(): Promise<CgroupBase> {
  const scratch = await mkdtemp(join(tmpdir(), 'runwarden-doctor-'))
  try {
    const found = await openCgroupBase(scratch)
    if (found.ok) removeCgroupBase(found.base)
    return found
  } finally {
    await rm(scratch, { recursive: true })
  }
}

/** What a host that is started here can hold its runs to. */
async function limits(config: Config): Promise<DoctorCheck> {
  const found = config.cgroups === 'off' ? undefined : await tryCgroups()
  const { ok, detail } = limitsCheck(limitingHost(found?.ok ? found.controllers : undefined))
  if (ok) return { name: 'limits', status: 'ok', detail }
  const wayOut =
    'Runs are started without the limits that cannot be enforced, and say so; with --require-limits they are not started. ' +
    'All four need the memory, pids and cpu controllers of cgroup v2.'
  return { name: 'limits', status: 'warn', detail, wayOut }
}

function procfs(): DoctorCheck {
  const proc = readFileSync('/proc/self/mountinfo', 'latin1')
    .split('\n')
    .find((line) => line.includes(' - proc ') && line.split(' ')[4] === '/proc')
  const hidden = /hidepid=(1|2|4|noaccess|invisible|ptraceable)/.exec(proc ?? '')?.[0]
  if (hidden === undefined || process.getuid?.() === 0) {
    return { name: 'process table', status: 'ok', detail: 'all processes of this machine are visible in /proc' }
  }
  return {
    name: 'process table',
    status: 'warn',
    detail: `/proc is mounted with ${hidden}`,
    wayOut: 'Processes of other accounts cannot be seen, so runs with --run-as cannot be proven dead.',
  }
}

function pidReuse(): DoctorCheck {
  const max = Number(readFileSync('/proc/sys/kernel/pid_max', 'latin1'))
  return {
    name: 'pids',
    status: 'ok',
    detail: `pid_max ${max}; a pid alone means nothing, so every signal is preceded by a check of start time and boot id`,
  }
}

async function dataDirectory(_: Config, directory: string): Promise<DoctorCheck> {
  const exists = existsSync(directory)
  return { name: 'data directory', status: 'ok', detail: exists ? directory : `${directory} (made by "runwarden up")` }
}

async function freeSpace(config: Config, directory: string): Promise<DoctorCheck> {
  const signal = new AbortController().signal
  const watch = createDiskWatch({ places: diskPlaces(directory, config), clock: () => new Date(), signal })
  await watch.look()
  const verdicts = watch.disks.map((disk) => judgeDisk(disk, config.lowDisk, false))
  const detail = watch.disks.map(diskText).join('; ')
  if (verdicts.every((verdict) => verdict === 'ENOUGH')) return { name: 'disk', status: 'ok', detail }
  const limit = thresholdText(config.lowDisk)
  return verdicts.includes('LOW')
    ? { name: 'disk', status: 'warn', detail: `${detail} (the limit is ${limit})`, wayOut: lowDiskWayOut }
    : {
        name: 'disk',
        status: 'warn',
        detail,
        wayOut: 'How much room is left cannot be told. What Runwarden writes there would fail in the same way.',
      }
}

async function server(_: Config, directory: string): Promise<DoctorCheck> {
  const owner = await readOwner(directory)
  if (owner?.alive !== true) {
    return { name: 'server', status: 'warn', detail: 'none is running here', wayOut: 'Start it: runwarden up' }
  }
  if (owner.url === undefined)
    return { name: 'server', status: 'warn', detail: `pid ${owner.identity.pid} is starting` }
  const response = await fetch(`${owner.url}/readyz`, { signal: AbortSignal.timeout(5_000) })
  const { ready, checks } = (await response.json()) as {
    ready: boolean
    checks: { name: string; ok: boolean; detail: string }[]
  }
  const bad = checks.filter(({ ok }) => !ok).map(({ name, detail }) => `${name}: ${detail}`)
  const detail = [`pid ${owner.identity.pid} at ${owner.url}, ${ready ? '' : 'not '}ready`, ...bad].join('; ')
  if (!ready) return { name: 'server', status: 'fail', detail }
  return { name: 'server', status: bad.length === 0 ? 'ok' : 'warn', detail }
}

async function port(config: Config, directory: string): Promise<DoctorCheck> {
  const name = 'port'
  if ((await readOwner(directory))?.alive) return { name, status: 'ok', detail: 'held by the server above' }
  const taken = await new Promise<boolean>((resolve) => {
    const socket = createConnection({ port: config.port, host: config.address, timeout: 2_000 })
    const end = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket
      .once('connect', () => end(true))
      .once('error', () => end(false))
      .once('timeout', () => end(false))
  })
  if (!taken) return { name, status: 'ok', detail: `${config.address}:${config.port} is free` }
  return {
    name,
    status: 'fail',
    detail: `${config.address}:${config.port} is in use by another program`,
    wayOut: 'Choose another one: RUNWARDEN_PORT',
  }
}

async function eventStore(config: Config): Promise<DoctorCheck> {
  const name = 'event store'
  if (config.eventStoreUrl === undefined || config.eventStoreUrl === config.databaseUrl) {
    return { name, status: 'ok', detail: 'in that database' }
  }
  try {
    const { engine, version } = await statsAt(config.eventStoreUrl)
    const product = engine === 'kurrentdb' ? 'KurrentDB' : 'PostgreSQL'
    return { name, status: 'ok', detail: `${product} ${version ?? '(of an unknown version)'} at EVENT_STORE_URL` }
  } catch (error) {
    return {
      name,
      status: 'fail',
      detail: `EVENT_STORE_URL cannot be used: ${(error as Error).message}`,
      wayOut: 'Start that server, or mend the URL. Without EVENT_STORE_URL the events are where DATABASE_URL says.',
    }
  }
}

async function statsAt(url: string): Promise<StoreStats> {
  const store = await openEvents(url)
  try {
    return await store.stats()
  } finally {
    await store.close()
  }
}

async function database(config: Config): Promise<DoctorCheck> {
  if (config.databaseUrl === undefined) {
    return { name: 'database', status: 'ok', detail: 'the embedded PostgreSQL, in the data directory' }
  }
  const pool = openPool(databaseAt(config.databaseUrl), { purpose: 'doctor', max: 1 })
  try {
    const { rows } = await pool.query<{ version: string }>('show server_version')
    return { name: 'database', status: 'ok', detail: `PostgreSQL ${rows[0]?.version} at DATABASE_URL` }
  } catch (error) {
    return {
      name: 'database',
      status: 'fail',
      detail: `DATABASE_URL cannot be used: ${(error as Error).message}`,
      wayOut: 'Start that server, or mend the URL. Without DATABASE_URL Runwarden brings its own PostgreSQL.',
    }
  } finally {
    await pool.end()
  }
}
