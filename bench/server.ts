import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'

/** A server with an embedded PostgreSQL, as a user starts it. */
export type Server = {
  pid: number
  dataDirectory: string
  url: string
  token: string
  ask(query: string, variables: object): Promise<Record<string, unknown>>
  /** Runs that still live must have been ended before. */
  stop(): Promise<void>
}

export async function startServer(env: Record<string, string> = {}): Promise<Server> {
  const dataDirectory = await mkdtemp(join(tmpdir(), 'runwarden-bench-'))
  await chmod(dataDirectory, 0o711)
  const child = spawn(process.execPath, [join(import.meta.dirname, '../src/main.ts'), 'up'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      ...process.env,
      ...{ RUNWARDEN_DATA_DIR: dataDirectory, RUNWARDEN_PORT: '0', RUNWARDEN_LOG_LEVEL: 'warn' },
      ...{ RUNWARDEN_CANARY_INTERVAL_MS: '0', ...env },
    },
  })
  const url = await urlOf(dataDirectory, child)
  const token = readFileSync(join(dataDirectory, 'admin.token'), 'utf8').trim()
  return {
    pid: child.pid ?? 0,
    dataDirectory,
    url,
    token,
    async ask(query, variables) {
      const response = await fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
        body: JSON.stringify({ query, variables }),
      })
      const { data, errors } = (await response.json()) as { data?: Record<string, unknown>; errors?: unknown }
      if (data === undefined) throw new Error(JSON.stringify(errors))
      return data
    },
    async stop() {
      child.kill('SIGTERM')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      await rm(dataDirectory, { recursive: true, force: true })
    },
  }
}

async function urlOf(dataDirectory: string, child: ChildProcess): Promise<string> {
  while (child.exitCode === null) {
    const url = readUrl(dataDirectory)
    if (url !== undefined && (await fetch(`${url}/readyz`)).ok) return url
    await setTimeout(20)
  }
  throw new Error('the server ended while it was starting')
}

function readUrl(dataDirectory: string): string | undefined {
  try {
    return JSON.parse(readFileSync(join(dataDirectory, 'owner.json'), 'utf8')).url
  } catch {
    // Not written yet.
    return undefined
  }
}

const startDocument = `mutation ($command: [String!]!) {
  startRun(input: { command: $command }) { ... on StartRunAnswer { run { id } } ... on Problem { message } }
}`

/** @returns the run's id. */
export async function startRun({ ask }: Server, command: string[]): Promise<string> {
  const { startRun } = await ask(startDocument, { command })
  const { run, message } = startRun as { run?: { id: string }; message?: string }
  if (run === undefined) throw new Error(message)
  return run.id
}

const killDocument = `mutation ($id: ID!, $force: Boolean!) {
  killRun(input: { runId: $id, force: $force, waitFor: KILLED, timeoutMs: 120000 }) {
    ... on KillRunAnswer { success run { receipt { processCount timings { requestedAt provenAt } } } }
    ... on Problem { message }
  }
}`

export type Killed = {
  success: boolean
  run: { receipt: { processCount: number; timings: { requestedAt: string; provenAt: string } } }
}

export async function killRun({ ask }: Server, id: string, force: boolean): Promise<Killed> {
  const killed = (await ask(killDocument, { id, force })).killRun as Killed
  if (!killed.success) throw new Error(`not killed: ${JSON.stringify(killed)}`)
  return killed
}
