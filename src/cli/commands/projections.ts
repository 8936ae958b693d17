import type { Command } from 'commander'
import type { Problem } from '../answers.ts'
import { type CliContext, withExamples, withJson, withServer } from '../context.ts'
import { documents } from '../documents.ts'
import { formatDuration } from '../durations.ts'
import type { ServerOptions } from '../locate.ts'
import { printable } from '../printable.ts'
import { failureOf, isAnswer } from '../problems.ts'
import { type Cell, tableLines } from '../table.ts'

type Options = ServerOptions & { json?: true }

type Status = { name: string; state: string; position: number; lag: number | null; error: string | null }
type Rebuilt = { name: string; events: number; durationMs: number }
type RebuildAnswer = { __typename: 'RebuildProjectionsAnswer'; projections: Rebuilt[] }

/** Of the server: a large store takes minutes (the budget is 50,000 events a second). */
const rebuildLimitMs = 60 * 60_000

export function addProjections(program: Command, context: CliContext): void {
  const group = program.command('projections').description('The read models that are derived from the events.')
  const status = group
    .command('status')
    .description('Show how far each has read, and what stands in its way.')
    .action((options: Options) => showStatus(context, options))
  withExamples(withJson(withServer(status)), [['runwarden projections status', 'lag 0: up to date']])

  const rebuild = group
    .command('rebuild')
    .description('Derive read models from the events again, beside the live ones, then switch.')
    .argument('[names...]', 'which; all, if none is named')
    .action((names: string[], options: Options) => rebuildProjections(context, names, options))
  withExamples(withJson(withServer(rebuild)), [
    ['runwarden projections rebuild', 'all of them'],
    ['runwarden projections rebuild runs audit', 'two of them'],
  ])
}

async function showStatus({ connect, screen }: CliContext, options: Options): Promise<void> {
  const { projections } = await connect(options).request<{ projections: Status[] }>(documents.projections)
  const columns = ['NAME', 'STATE', 'POSITION', 'LAG', 'ERROR'].map((title) => ({ title }))
  const row = ({ name, state, position, lag, error }: Status): Cell[] => [
    name,
    state,
    String(position),
    lag === null ? 'unknown' : String(lag),
    printable(error ?? ''),
  ]
  if (options.json) for (const projection of projections) await screen.json(projection)
  else for (const line of tableLines(columns, projections.map(row), screen)) await screen.line(line)
}

async function rebuildProjections({ connect, screen }: CliContext, names: string[], options: Options): Promise<void> {
  const { rebuildProjections } = await connect(options).request<{ rebuildProjections: RebuildAnswer | Problem }>(
    documents.rebuildProjections,
    { names: names.length === 0 ? null : names },
    { limitMs: rebuildLimitMs },
  )
  if (!isAnswer<RebuildAnswer>(rebuildProjections, 'RebuildProjectionsAnswer')) throw failureOf(rebuildProjections)
  for (const rebuilt of rebuildProjections.projections) {
    if (options.json) await screen.json(rebuilt)
    else await screen.line(`${rebuilt.name}: ${rebuilt.events} events in ${formatDuration(rebuilt.durationMs)}`)
  }
}
