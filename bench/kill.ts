import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { readStat } from '../src/os/process-identity.ts'
import { type Bench, type Figures, median, percentile } from './bench.ts'

const kills = 20
/** `$0` processes, this shell among them. */
const tree = 'n=$0; while [ "$n" -gt 1 ]; do sleep 1000 & n=$((n-1)); done; exec sleep 1000'

/** From a kill's request to its receipt, through GraphQL and the event store, on real processes. */
export const kill: Bench = {
  name: 'kill',
  async run() {
    const dataDirectory = await mkdtemp(join(tmpdir(), 'runwarden-bench-'))
    await chmod(dataDirectory, 0o711)
    const server = await startServer(dataDirectory)
    try {
      const figures: Figures = {}
      for (const processes of [1, 50]) {
        for (const force of [true, false]) {
          const name = `${force ? 'forced' : 'graceful'}${processes}`
          process.stderr.write(`kill: ${name}, ${kills} times\n`)
          const timesMs = []
          for (let n = 0; n < kills; n += 1) timesMs.push(await killOne(server, processes, force))
          figures[`${name}P50Ms`] = median(timesMs.map(({ receiptMs }) => receiptMs))
          figures[`${name}P99Ms`] = percentile(
            timesMs.map(({ receiptMs }) => receiptMs),
            99,
          )
          figures[`${name}AnswerP50Ms`] = median(timesMs.map(({ answerMs }) => answerMs))
        }
      }
      const groupMs = []
      for (let n = 0; n < kills; n += 1) groupMs.push(await killGroup(50))
      const group = { sigkill50P50Ms: median(groupMs), sigkill50P99Ms: percentile(groupMs, 99) }
      return {
        figures,
        // Neither a record nor a proof, and blind to other sessions: the floor of what a kill can take.
        peers: { 'kill(-pgid, SIGKILL)': group },
        ratios: { 'kill(-pgid, SIGKILL)': group.sigkill50P50Ms / (figures.forced50P50Ms ?? Number.NaN) },
      }
    } finally {
      server.child.kill('SIGTERM')
      await once(server.child, 'exit')
      await rm(dataDirectory, { recursive: true, force: true })
    }
  },
}

type Server = { child: ChildProcess; ask(query: string, variables: object): Promise<Record<string, unknown>> }

async function startServer(dataDirectory: string): Promise<Server> {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../src/main.ts'), 'up'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      ...process.env,
      RUNWARDEN_DATA_DIR: dataDirectory,
      RUNWARDEN_PORT: '0',
      RUNWARDEN_CANARY_INTERVAL_MS: '0',
      RUNWARDEN_LOG_LEVEL: 'warn',
    },
  })
  const url = await urlOf(dataDirectory, child)
  const token = readFileSync(join(dataDirectory, 'admin.token'), 'utf8').trim()
  return {
    child,
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
const killDocument = `mutation ($id: ID!, $force: Boolean!) {
  killRun(input: { runId: $id, force: $force, waitFor: KILLED }) {
    ... on KillRunAnswer { success run { receipt { processCount timings { requestedAt provenAt } } } }
    ... on Problem { message }
  }
}`

type Killed = {
  success: boolean
  run: { receipt: { processCount: number; timings: { requestedAt: string; provenAt: string } } }
}

async function killOne(server: Server, processes: number, force: boolean) {
  const { startRun } = await server.ask(startDocument, { command: ['sh', '-c', tree, String(processes)] })
  const { id } = (startRun as { run: { id: string } }).run
  await untilGrown(server, id, processes)
  const asked = performance.now()
  const killed = (await server.ask(killDocument, { id, force })).killRun as Killed
  const answerMs = performance.now() - asked
  const { processCount, timings } = killed.run.receipt
  if (!killed.success || processCount < processes) throw new Error(`not what was measured: ${JSON.stringify(killed)}`)
  return { answerMs, receiptMs: Date.parse(timings.provenAt) - Date.parse(timings.requestedAt) }
}

/** The root's children are there: counted from the process table, for heartbeats come too seldom. */
async function untilGrown(server: Server, id: string, processes: number): Promise<void> {
  for (;;) {
    const { run } = await server.ask('query ($id: ID!) { run(id: $id) { pid } }', { id })
    const { pid } = run as { pid: number | null }
    if (pid !== null && childrenOf(pid) >= processes - 1) return
    await setTimeout(5)
  }
}

function childrenOf(pid: number): number {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).length
  } catch {
    return 0
  }
}

async function killGroup(processes: number): Promise<number> {
  const child = spawn('sh', ['-c', tree, String(processes)], { detached: true, stdio: 'ignore' })
  const { pid } = child
  if (pid === undefined) throw new Error('sh could not be started')
  while (childrenOf(pid) < processes - 1) await setTimeout(5)
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).map(Number)
  const asked = performance.now()
  process.kill(-pid, 'SIGKILL')
  await once(child, 'exit')
  while (children.some((member) => !['Z', 'X', undefined].includes(readStat(member)?.state))) await setTimeout(1)
  return performance.now() - asked
}
