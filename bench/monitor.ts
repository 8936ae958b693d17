import { readdirSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import pidusage from 'pidusage'
import { readStat } from '../src/os/process-identity.ts'
import type { Bench, Figures } from './bench.ts'
import { killRun, type Server, startRun, startServer } from './server.ts'

const sizes = [100, 1_000]
/** Both look every five seconds, which is Runwarden's standard. */
const intervalMs = 5_000
const watchedMs = 30_000
/** Kernel and libc agree on 100 ticks a second. */
const msPerTick = 10

const note = (text: string) => void process.stderr.write(`monitor: ${text}\n`)

/**
 * CPU time of a server that watches so many live runs, in percent of one core: its own, and that of its PostgreSQL. The
 * peer reads what `pidusage` tells of the runs' root processes, at the same interval.
 */
export const monitor: Bench = {
  name: 'monitor',
  async run() {
    const server = await startServer({ RUNWARDEN_CAPACITY: String((sizes.at(-1) ?? 0) + 10) })
    const runs: string[] = []
    try {
      const figures: Figures = { ...named('idle', await watch(server)) }
      const theirs: Figures = {}
      for (const size of sizes) {
        note(`starting runs until there are ${size}`)
        await inParallel(size - runs.length, async () => void runs.push(await startRun(server, ['sleep', '100000'])))
        const pids = await untilLive(server, runs)
        note(`watching ${size} for ${watchedMs / 1000} s`)
        Object.assign(figures, named(`runs${size}`, await watch(server)))
        theirs[`runs${size}Percent`] = await watchByPidusage(pids)
      }
      const peers = { pidusage: theirs }
      return { figures, peers, ratios: { pidusage: (theirs.runs1000Percent ?? 0) / (figures.runs1000Percent ?? 0) } }
    } finally {
      note(`ending ${runs.length} runs`)
      await inParallel(runs.length, async (index) => void (await killRun(server, runs[index] ?? '', true)))
      await server.stop()
    }
  },
}

const named = (name: string, { server, postgres }: Cpu): Figures => ({
  [`${name}Percent`]: server,
  [`${name}PostgresPercent`]: postgres,
})

export type Cpu = { server: number; postgres: number }

/** Percent of one core, once what the starts have caused is over. */
async function watch(server: Server): Promise<Cpu> {
  await setTimeout(2 * intervalMs)
  const before = { at: performance.now(), ...cpuMs(server.pid) }
  await setTimeout(watchedMs)
  const after = { at: performance.now(), ...cpuMs(server.pid) }
  const percent = (name: 'server' | 'postgres') => (100 * (after[name] - before[name])) / (after.at - before.at)
  return { server: percent('server'), postgres: percent('postgres') }
}

/** Of the server; of its PostgreSQL, whose processes are the only children that live as long as it does. */
export function cpuMs(pid: number): Cpu {
  const all = readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? (readStat(Number(name)) ?? []) : []))
  const own = all.find((stat) => stat.pid === pid)
  const postmaster = all.find(({ comm, ppid }) => comm === 'postgres' && ppid === pid)
  const database = all.filter((stat) => stat.pid === postmaster?.pid || stat.ppid === postmaster?.pid)
  const ticks = (stats: typeof all) => stats.reduce((sum, stat) => sum + stat.utimeTicks + stat.stimeTicks, 0)
  if (own === undefined || postmaster === undefined) throw new Error('the server or its PostgreSQL is not there')
  return { server: ticks([own]) * msPerTick, postgres: ticks(database) * msPerTick }
}

/** In this process, of which nothing else is asked meanwhile. */
async function watchByPidusage(pids: number[]): Promise<number> {
  await pidusage(pids)
  const before = process.cpuUsage()
  const begun = performance.now()
  for (let look = 0; look < watchedMs / intervalMs; look += 1) {
    await setTimeout(intervalMs)
    await pidusage(pids)
  }
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 10 / (performance.now() - begun)
}

async function untilLive({ ask }: Server, runs: readonly string[]): Promise<number[]> {
  const pids = new Map<string, number>()
  while (pids.size < runs.length) {
    for (const id of runs) {
      if (pids.has(id)) continue
      const { run } = await ask('query ($id: ID!) { run(id: $id) { pid } }', { id })
      const { pid } = run as { pid: number | null }
      if (pid !== null) pids.set(id, pid)
    }
    await setTimeout(200)
  }
  return [...pids.values()]
}

async function inParallel(count: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async () => {
    while (next < count) {
      const index = next
      next += 1
      await work(index)
    }
  }
  await Promise.all(Array.from({ length: 8 }, worker))
}
