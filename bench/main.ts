// npm run bench -- [NAME] [--json]: one budget of DESIGN.md, or all of them.
import { parseArgs } from 'node:util'
import { append } from './append.ts'
import { type Bench, type BenchResult, machine } from './bench.ts'
import { cleanup } from './cleanup.ts'
import { growth } from './growth.ts'
import { kill } from './kill.ts'
import { latency } from './latency.ts'
import { monitor } from './monitor.ts'
import { project } from './project.ts'
import { rebuild } from './rebuild.ts'
import { replay } from './replay.ts'

const benches: readonly Bench[] = [append, growth, project, rebuild, latency, replay, kill, cleanup, monitor]

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { json: { type: 'boolean' } } })
  const [name] = positionals
  const chosen = benches.filter((bench) => name === undefined || bench.name === name)
  if (chosen.length === 0) {
    process.stderr.write(`no bench is called ${name}; there are: ${benches.map((bench) => bench.name).join(', ')}\n`)
    process.exitCode = 2
    return
  }
  for (const bench of chosen) {
    const result = { bench: bench.name, machine: machine(), ...(await bench.run()) }
    process.stdout.write(values.json ? `${JSON.stringify(result)}\n` : table(result))
  }
}

function table({ bench, machine: on, figures, peers, ratios }: BenchResult): string {
  const rows = [
    ...Object.entries(figures).map(([figure, value]) => ['Runwarden', figure, value] as const),
    ...Object.entries(peers).flatMap(([peer, theirs]) =>
      Object.entries(theirs).map(([figure, value]) => [peer, figure, value] as const),
    ),
    ...Object.entries(ratios).map(([peer, ratio]) => ['', `ratio to ${peer}`, ratio] as const),
  ]
  const lines = rows.map(([who, what, value]) => `  ${who.padEnd(20)} ${what.padEnd(32)} ${format(value).padStart(12)}`)
  return `${bench} (${on.cores} × ${on.cpu}, Node ${on.node})\n${lines.join('\n')}\n`
}

const format = (value: number) => value.toLocaleString('en', { maximumFractionDigits: value < 100 ? 2 : 0 })

await main()
