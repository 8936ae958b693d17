import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DesiredKill, DesiredRun, Fact, FactBody } from '../../src/domain/host-link.ts'
import type { RunId } from '../../src/domain/ids.ts'
import { type LaunchSpec, launchSpecSchema } from '../../src/domain/launch.ts'
import type { KillKind } from '../../src/domain/run-events.ts'
import { createHost, type Host } from '../../src/host/host.ts'
import type { HostOptions } from '../../src/host/host-options.ts'
import { isRunning } from '../../src/host/process-table.ts'
import { readIdentity } from '../../src/os/process-identity.ts'
import { keptFile } from './kept-file.ts'
import { makeTemporaryDirectory } from './temporary-directory.ts'
import { waitUntil } from './wait-until.ts'

type FactOf<Type extends FactBody['type']> = Extract<FactBody, { type: Type }>
export type HostWorld = Awaited<ReturnType<typeof createHostWorld>>

export const tree = (name: string) => join(import.meta.dirname, 'trees', name)

const log = { info() {}, warn() {}, error: (fields: object, message: string) => console.error(message, fields) }

/** A host on a directory of its own, its facts as they come, and an end that leaves no process behind. */
export async function createHostWorld(options: Partial<HostOptions> = {}) {
  const temporary = options.hostDirectory === undefined ? makeTemporaryDirectory() : undefined
  const hostDirectory = options.hostDirectory ?? join(temporary?.path as string, 'host')
  const facts: Fact[] = []
  let reading = new AbortController()
  let acknowledging = true
  let numbers = 0
  let host = await open()

  async function open(more: Partial<HostOptions> = {}): Promise<Host> {
    const opened = await createHost({
      ...{ hostDirectory, capacity: 10, log, sampleIntervalMs: 100, ...options, ...more },
    })
    reading = new AbortController()
    void collect(opened, reading.signal)
    await opened.start()
    return opened
  }

  async function collect(from: Host, signal: AbortSignal): Promise<void> {
    for await (const batch of from.facts(signal)) {
      facts.push(...batch)
      for (const { runId, sequence } of acknowledging ? batch : []) await from.acknowledge(runId, sequence)
    }
  }

  const ofRun = (runId: RunId) => {
    const once = new Map(facts.filter((fact) => fact.runId === runId).map((fact) => [fact.sequence, fact]))
    return [...once.values()].sort((a, b) => a.sequence - b.sequence)
  }
  const types = (runId: RunId) =>
    ofRun(runId).flatMap(({ body }) => (body.type === 'HeartbeatRecorded' ? [] : body.type))

  function desired(command: string[], launch: Partial<LaunchSpec> = {}): DesiredRun {
    numbers += 1
    const runId = `run_${numbers.toString(16).padStart(4, '0')}${process.hrtime.bigint().toString(16).slice(-8)}`
    return {
      ...{ runId, order: numbers, kill: null, factSequence: 0 },
      work: { kind: 'launch', launch: launchSpecSchema.parse({ command, ...launch }) },
      leftovers: { graceMs: 200, proofDeadlineMs: 5_000 },
    }
  }

  const killOf = (kind: KillKind, times: Partial<DesiredKill> = {}): DesiredKill => ({
    ...{ kind, requestedAt: new Date().toISOString(), graceMs: 300, proofDeadlineMs: 8_000, ...times },
  })

  async function fact<Type extends FactBody['type']>(runId: RunId, type: Type): Promise<FactOf<Type>['data']> {
    const found = await waitUntil(
      () => ofRun(runId).find(({ body }) => body.type === type),
      `${type} of ${runId}`,
      15_000,
      () => JSON.stringify(ofRun(runId).map(({ body }) => body)),
    )
    return found.body.data as FactOf<Type>['data']
  }

  const workspace = (runId: RunId) => join(hostDirectory, 'workspaces', runId)
  const artifacts = (runId: RunId) => join(hostDirectory, 'artifacts', runId)
  const kept = (runId: RunId, name: string) => keptFile(hostDirectory, runId, name)
  const directory = (runId: RunId) => join(hostDirectory, 'runs', runId)

  /** Identities of those who wrote their pid into the workspace, once there are so many. */
  async function members(runId: RunId, count: number) {
    const path = join(workspace(runId), 'pids')
    const pids = await waitUntil(() => {
      const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : []
      return lines.length >= count && lines
    }, `${count} processes of ${runId}`)
    return pids.flatMap((pid) => readIdentity(Number(pid)) ?? [])
  }

  async function output(runId: RunId): Promise<string> {
    const chunk = await host.readOutput(runId, 0, 1024 * 1024)
    return Buffer.from(chunk?.data ?? []).toString('utf8')
  }

  return {
    hostDirectory,
    facts,
    get host() {
      return host
    },
    ofRun,
    types,
    desired,
    killOf,
    fact,
    workspace,
    artifacts,
    kept,
    directory,
    members,
    output,
    acknowledge(on: boolean) {
      acknowledging = on
    },
    async launch(command: string[], launch: Partial<LaunchSpec> = {}): Promise<DesiredRun> {
      const run = desired(command, launch)
      await host.want(run)
      return run
    },
    async kill(run: DesiredRun, kind: KillKind = 'force', times: Partial<DesiredKill> = {}): Promise<void> {
      await host.want({ ...run, kill: killOf(kind, times) })
    },
    /** The host goes and another one comes in its place; runs live on in between. */
    async restart(more: Partial<HostOptions> = {}): Promise<void> {
      reading.abort()
      await host.close()
      host = await open(more)
    },
    /** Ends all that lives, through the host and then by hand, and removes the directory. */
    async end(): Promise<void> {
      for (const runId of await host.known()) {
        // A run that has removed its own directory; it is ended by hand below.
        if (!existsSync(join(directory(runId), 'desired.json'))) continue
        const run = JSON.parse(readFileSync(join(directory(runId), 'desired.json'), 'utf8')) as DesiredRun
        await host.want({ ...run, kill: killOf('force', { proofDeadlineMs: 1_000 }) })
      }
      await waitUntil(async () => (await host.known()).length === 0 || !acknowledging, 'the end of all runs').catch(
        () => {},
      )
      reading.abort()
      await host.close()
      killThoseOf(hostDirectory)
      temporary?.remove()
    },
  }
}

/** Every process whose environment names the directory; identity checked. */
export function killThoseOf(directory: string): void {
  for (const pid of readdirSync('/proc').map(Number)) {
    if (!(pid > 1) || pid === process.pid) continue
    const identity = readIdentity(pid)
    const environment = readOrEmpty(`/proc/${pid}/environ`)
    if (identity === undefined || !environment.includes(`${directory}/`)) continue
    if (isRunning(identity)) process.kill(pid, 'SIGKILL')
  }
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
