import { cpus, totalmem } from 'node:os'

/** Figures by name; a name ends in its unit: `…PerSecond`, `…Ms`, `…Percent`. */
export type Figures = Record<string, number>

export type BenchResult = {
  bench: string
  machine: { cpu: string; cores: number; memoryBytes: number; platform: string; node: string }
  figures: Figures
  /** What others do on the same machine in the same run. */
  peers: Record<string, Figures>
  /** Ours to each peer's; above 1 we are better. */
  ratios: Record<string, number>
}

/** One file per budget. `run` starts what it needs and leaves nothing behind; progress goes to stderr. */
export type Bench = { name: string; run(): Promise<Omit<BenchResult, 'bench' | 'machine'>> }

export const machine = (): BenchResult['machine'] => ({
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  memoryBytes: totalmem(),
  platform: `${process.platform}-${process.arch}`,
  node: process.versions.node,
})

export function median(values: readonly number[]): number {
  return percentile(values, 50)
}

/** The smallest value that at least `percent` % of the values do not exceed. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)] ?? Number.NaN
}

/** How often, and how long each time, `callers` did `work` within `ms`: each one again as soon as it is done. */
export async function drive(callers: number, ms: number, work: (caller: number) => Promise<unknown>) {
  const durationsMs: number[] = []
  const started = performance.now()
  const callOn = async (_: unknown, caller: number) => {
    while (performance.now() - started < ms) {
      const before = performance.now()
      await work(caller)
      durationsMs.push(performance.now() - before)
    }
  }
  await Promise.all(Array.from({ length: callers }, callOn))
  return { perSecond: durationsMs.length / ((performance.now() - started) / 1000), durationsMs }
}
