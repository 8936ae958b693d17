import type { Command } from 'commander'
import { type CliContext, withExamples, withJson, withServer } from '../context.ts'
import { documents } from '../documents.ts'
import { formatDuration } from '../durations.ts'
import type { ServerOptions } from '../locate.ts'
import { printable } from '../printable.ts'
import { type Cell, tableLines } from '../table.ts'

type Options = ServerOptions & { json?: true }

type Kind = { kind: string; streams: number; events: number; retired: number }
type Stats = {
  engine: 'POSTGRESQL' | 'KURRENTDB'
  version: string | null
  storeId: string
  position: number
  events: number | null
  retiredEvents: number | null
  bytesOnDisk: number | null
  streams: Kind[] | null
  oldestAt: string | null
  newestAt: string | null
  appendedPerSecond: number | null
}

export function addStore(program: Command, context: CliContext): void {
  const group = program.command('store').description('The event store: everything that ever happened.')
  withExamples(group, [['runwarden store stats', 'how much there is']])
  const stats = group
    .command('stats')
    .description('Show how much the event store holds, and how fast it grows.')
    .action((options: Options) => showStats(context, options))
  withExamples(withJson(withServer(stats)), [
    ['runwarden store stats', 'events by kind of stream, size, rate'],
    ['runwarden store stats --json', 'the same for a script'],
  ])
}

async function showStats({ connect, screen }: CliContext, options: Options): Promise<void> {
  const { storeStats } = await connect(options).request<{ storeStats: Stats }>(documents.storeStats)
  if (options.json) return screen.json(storeStats)
  for (const line of statsLines(storeStats, Date.now())) await screen.line(line)
  if (storeStats.streams === null) return
  await screen.line('')
  const columns = [
    { title: 'STREAMS' },
    ...['NUMBER', 'EVENTS', 'RETIRED'].map((title) => ({ title, align: 'right' }) as const),
  ]
  for (const line of tableLines(columns, storeStats.streams.map(row), screen)) await screen.line(line)
}

const row = ({ kind, streams, events, retired }: Kind): Cell[] => [
  printable(kind),
  ...[streams, events, retired].map(whole),
]

const engines = { POSTGRESQL: 'PostgreSQL', KURRENTDB: 'KurrentDB' }
const unknown = 'unknown to this engine'

function statsLines(stats: Stats, nowMs: number): string[] {
  const { engine, version, events, retiredEvents, bytesOnDisk, oldestAt, newestAt, appendedPerSecond } = stats
  const ago = (at: string) => `${at}, ${formatDuration(nowMs - Date.parse(at))} ago`
  const rows = [
    ['engine', [engines[engine], printable(version ?? '')].join(' ').trim()],
    ['store', printable(stats.storeId)],
    ['position', whole(stats.position)],
    ['events', events === null ? unknown : whole(events)],
    [
      'retired',
      retiredEvents === null ? unknown : `${whole(retiredEvents)}${retiredEvents > 0 ? ', removed by retention' : ''}`,
    ],
    ['on disk', bytesOnDisk === null ? unknown : bytesText(bytesOnDisk)],
    ['oldest', oldestAt === null ? '-' : ago(oldestAt)],
    ['newest', newestAt === null ? '-' : ago(newestAt)],
    ['appended', appendedPerSecond === null ? unknown : `${rateText(appendedPerSecond)} a second, in the last minute`],
  ] as const
  return rows.map(([name, text]) => `${name.padEnd(10)}${text}`)
}

const whole = (value: number) => value.toLocaleString('en')
const rateText = (rate: number) => rate.toLocaleString('en', { maximumFractionDigits: rate < 10 ? 2 : 0 })
const bytesText = (bytes: number) =>
  bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`
