import { type Dirent, existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { readStat } from '../../src/os/process-identity.ts'
import type { EmbeddedPostgres } from '../../src/postgres/embedded.ts'
import { runOwner, temporaryPrefix } from './temporary-directory.ts'

/** What was there before the tests. */
type Surroundings = { cgroups: Set<string>; temporary: Set<string> }

type Place = {
  /** This run's own temporary directory. */
  scratch: string
  /** The machine's. */
  outside: string
  before: Surroundings
  postgres: EmbeddedPostgres
}

/** Time for the last processes to go: a killed one whose parent is gone waits for pid 1 to collect it. */
const patienceMs = 3_000

export const lookAround = (outside: string): Surroundings => ({
  cgroups: new Set(ourCgroups()),
  temporary: new Set(ourTemporary(outside)),
})

/** One line for each thing that a test should have removed. */
export async function findLeaks(place: Place): Promise<string[]> {
  const deadline = Date.now() + patienceMs
  for (;;) {
    const leaks = [
      ...leftProcesses(place),
      ...readdirSync(place.scratch).map((name) => `temporary: ${join(place.scratch, name)}`),
      ...leftBesideOthers(place),
      ...(await leftDatabases(place)),
    ]
    if (leaks.length === 0 || Date.now() > deadline) return leaks
    await delay(100)
  }
}

async function leftDatabases({ postgres }: Place): Promise<string[]> {
  const client = new pg.Client(postgres.connection)
  await client.connect()
  try {
    const { rows } = await client.query("select datname from pg_database where datname like 'test\\_%'")
    return rows.map((row) => `database: ${row.datname}`)
  } finally {
    await client.end()
  }
}

/**
 * A run's process or a server that knows this run's directory: by its environment, working directory or command line.
 * Whatever tests start inherits TMPDIR, but for Runwarden's own runs, whose variables name their data directory.
 */
function leftProcesses({ scratch }: Place): string[] {
  const leaks: string[] = []
  for (const pid of readdirSync('/proc').map(Number)) {
    if (!(pid > 1) || pid === process.pid) continue
    const stat = readStat(pid)
    if (stat === undefined || stat.state === 'Z' || stat.state === 'X') continue
    const [environment, command] = ['environ', 'cmdline'].map((name) => readOrEmpty(`/proc/${pid}/${name}`))
    const isRun = environment?.includes('RUNWARDEN_RUN_ID=')
    if (!isRun && stat.comm !== 'postgres') continue
    const knows = [environment, command, linkOrEmpty(`/proc/${pid}/cwd`)].some((text) => text?.includes(scratch))
    if (knows) leaks.push(`process: ${pid} ${command?.replaceAll('\0', ' ').slice(0, 200)}`)
  }
  return leaks
}

/**
 * Cgroups, and directories outside of ours, do not say whose they are: they are judged only when no other test run goes
 * on, and no server that somebody started by hand.
 */
function leftBesideOthers({ before, outside, scratch }: Place): string[] {
  const temporary = ourTemporary(outside)
  const othersRun = temporary.some((name) => {
    const owner = runOwner(name)
    return owner !== undefined && owner !== process.pid && existsSync(`/proc/${owner}`)
  })
  if (othersRun || othersServe(scratch)) return []
  return [
    ...ourCgroups()
      .filter((path) => !before.cgroups.has(path))
      .map((path) => `cgroup: ${path}`),
    ...temporary.filter((name) => !before.temporary.has(name)).map((name) => `temporary: ${join(outside, name)}`),
  ]
}

function othersServe(scratch: string): boolean {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .some((pid) => {
      const isServer = readOrEmpty(`/proc/${pid}/cmdline`)
        .split('\0')
        .some((part) => part.endsWith('src/main.ts'))
      return isServer && !readOrEmpty(`/proc/${pid}/environ`).includes(scratch)
    })
}

const ourTemporary = (outside: string) => readdirSync(outside).filter((name) => name.startsWith(temporaryPrefix))

/** Also the ones inside our own cgroup, at any depth. */
function ourCgroups(): string[] {
  const mount = cgroup2Mount()
  if (mount === undefined) return []
  return directoriesIn(mount).filter((path) => basename(path).startsWith('runwarden-'))
}

/** At any depth; others' cgroups come and go while we look. */
function directoriesIn(path: string): string[] {
  const children = entriesOrNone(path)
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join(path, name))
  return children.flatMap((child) => [child, ...directoriesIn(child)])
}

function entriesOrNone(path: string): Dirent[] {
  try {
    return readdirSync(path, { withFileTypes: true })
  } catch (error) {
    // ENAMETOOLONG: the cgroups of a hostile run, maybe of another test run, are deeper than a path can be.
    if (['ENOENT', 'ENAMETOOLONG'].includes(String((error as NodeJS.ErrnoException).code))) return []
    throw error
  }
}

function cgroup2Mount(): string | undefined {
  for (const line of readOrEmpty('/proc/self/mountinfo').split('\n')) {
    const [mount, filesystem] = line.split(' - ')
    if (filesystem?.startsWith('cgroup2 ')) return mount?.split(' ')[4]
  }
  return undefined
}

/** A process that ended while we looked, or that is not ours to read. */
function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function linkOrEmpty(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
