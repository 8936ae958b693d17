import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ProcessIdentity } from '../../src/domain/process-identity.ts'
import { exists, readIdentity } from '../../src/os/process-identity.ts'
import type { TestDatabase } from './database.ts'
import { graphql } from './graphql-client.ts'
import { makeTemporaryDirectory } from './temporary-directory.ts'
import { waitUntil } from './wait-until.ts'

const project = join(import.meta.dirname, '../..')

/** A real server in a process of its own, started as a user starts it. */
export type TestServer = {
  readonly url: string
  readonly token: string
  readonly dataDirectory: string
  readonly identity: ProcessIdentity
  /** What it has written so far. */
  output(): string
  /** One operation with the admin's token. @throws where it has errors */
  // biome-ignore lint/suspicious/noExplicitAny: each test knows the shape of what it asks for
  ask(document: string, variables?: object): Promise<any>
  /** SIGTERM, then waits for its end. Runs live on. */
  stop(): Promise<void>
  /** SIGKILL, then waits for its end. Its PostgreSQL and its runs live on. */
  crash(): Promise<void>
}

export type TestServerOptions = {
  dataDirectory: string
  /** On top of a clean environment. RUNWARDEN_PORT is 0 (any) unless given. */
  env?: Record<string, string>
  /** Milliseconds to /readyz. */
  timeoutMs?: number
  /** A command line in front of it that becomes it with `exec`, such as one that changes its account. */
  within?: readonly string[]
  /** 'ready' (default), or 'live' where the store is away on purpose. */
  until?: 'ready' | 'live'
}

export async function startTestServer(options: TestServerOptions): Promise<TestServer> {
  const { dataDirectory, timeoutMs = 30_000 } = options
  const { child, output } = spawnServer(options)
  const recordPath = join(dataDirectory, 'owner.json')
  const url = await waitUntil(
    async () => {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the server ended:\n${output()}`)
      const own = existsSync(recordPath) && JSON.parse(readFileSync(recordPath, 'utf8'))
      if (!own || own.identity.pid !== child.pid || own.url === undefined) return undefined
      const path = options.until === 'live' ? '/livez' : '/readyz'
      return (await fetch(`${own.url}${path}`)).ok ? (own.url as string) : undefined
    },
    `the server in ${dataDirectory} to be ready`,
    timeoutMs,
    output,
  ).catch((error) => {
    // Nobody else has it to stop it.
    child.kill('SIGKILL')
    throw error
  })
  const identity = readIdentity(child.pid ?? 0)
  if (identity === undefined) throw new Error(`the server ended:\n${output()}`)
  const end = async (signal: 'SIGTERM' | 'SIGKILL') => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill(signal)
    await once(child, 'exit')
  }
  const token = readFileSync(join(dataDirectory, 'admin.token'), 'utf8').trim()
  return {
    url,
    token,
    dataDirectory,
    identity,
    output,
    async ask(document, variables = {}) {
      const { data, errors } = await graphql(url, token, document, { ...variables })
      if (errors !== undefined) throw new Error(JSON.stringify(errors))
      return data
    },
    stop: () => end('SIGTERM'),
    crash: () => end('SIGKILL'),
  }
}

/** Starts it and looks no further: for starts that are meant to be refused. */
export function spawnServer({ dataDirectory, env = {}, within = [] }: TestServerOptions): {
  child: ChildProcess
  output: () => string
} {
  // bin/runwarden.mjs stays the same process on a Node.js that is new enough, which the one that runs this is.
  const [program = '', ...args] = [...within, process.execPath, join(project, 'bin/runwarden.mjs'), 'up']
  const child = spawn(program, args, {
    cwd: project,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      TMPDIR: process.env.TMPDIR,
      RUNWARDEN_PORT: '0',
      // A run that nobody asked for would be in the way of those who count runs.
      RUNWARDEN_CANARY_INTERVAL_MS: '0',
      RUNWARDEN_DATA_DIR: dataDirectory,
      ...env,
    },
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (text += chunk))
  return { child, output: () => text }
}

/** A data directory for servers, and the end of everything that was started in it. */
export function makeServerDirectory(): { path: string; remove(): Promise<void> } {
  const directory = makeTemporaryDirectory()
  return {
    path: directory.path,
    async remove() {
      await endPostmasterOf(directory.path)
      directory.remove()
    },
  }
}

/** A server that was crashed leaves its PostgreSQL behind, on purpose. */
async function endPostmasterOf(dataDirectory: string): Promise<void> {
  const pidFile = join(dataDirectory, 'postgres/cluster/postmaster.pid')
  if (!existsSync(pidFile)) return
  const [pid, cluster] = readFileSync(pidFile, 'utf8').split('\n')
  const identity = readIdentity(Number(pid))
  if (identity === undefined || cluster !== join(dataDirectory, 'postgres/cluster')) return
  const command = readFileSync(`/proc/${identity.pid}/cmdline`, 'utf8')
  if (!command.includes(cluster)) return
  process.kill(identity.pid, 'SIGINT')
  await waitUntil(() => !exists(identity), 'PostgreSQL to stop')
}

/** `DATABASE_URL` of a database in the test run's own PostgreSQL: saves an initdb where the engine is not the point. */
export function databaseUrlOf({ connection: { host, port, user, database } }: TestDatabase): string {
  return `postgres://${user}@/${database}?host=${encodeURIComponent(String(host))}&port=${port}`
}

/** Live processes that carry the marker of a run, whoever started them. */
export const markedProcesses = (runId: string): number[] => allMarkedProcesses().get(runId) ?? []

/** Live processes by the run whose marker they carry. */
export function allMarkedProcesses(): Map<string, number[]> {
  const marked = new Map<string, number[]>()
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const runId = /(?:^|\0)RUNWARDEN_RUN_ID=([^\0]*)/.exec(readFileSync(`/proc/${pid}/environ`, 'latin1'))?.[1]
      if (runId === undefined || /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'))) continue
      marked.set(runId, [...(marked.get(runId) ?? []), Number(pid)])
    } catch {
      // Gone while we looked, or a kernel thread.
    }
  }
  return marked
}
