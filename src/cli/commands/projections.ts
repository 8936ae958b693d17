import type { Command } from 'commander'
import type { Problem } from '../answers.ts'
import { type CliContext, withExamples, withJson, withServer } from '../context.ts'
import { documents } from '../documents.ts'
import { formatDuration } from '../durations.ts'
import type { ServerOptions } from '../locate.ts'
import { parseWholeNumber } from '../option-values.ts'
import { printable } from '../printable.ts'
import { failureOf, isAnswer } from '../problems.ts'
import { type Cell, tableLines } from '../table.ts'

type Options = ServerOptions & { json?: true }

type Skip = {
  position: number
  type: string
  stream: string
  error: string
  skippedBy: { kind: string; id: string }
  skippedAt: string
  reason: string | null
}
type Status = {
  name: string
  state: string
  position: number
  lag: number | null
  error: string | null
  failure: { position: number } | null
  skips: Skip[]
}
type SkipAnswer = {
  __typename: 'SkipProjectionEventAnswer'
  projection: Status
  skip: Pick<Skip, 'position' | 'type' | 'stream'>
}
type Rebuilt = { name: string; events: number; durationMs: number; passedOver: number }
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

  const skip = group
    .command('skip')
    .description('Let a read model pass over the event that stopped it.')
    .argument('<name>', 'which read model')
    .argument(
      '<position>',
      'of the event that stopped it; "projections status" shows it',
      parseWholeNumber(1, Number.MAX_SAFE_INTEGER),
    )
    .option('--reason <text>', 'why; it is kept with the read model and in the audit trail')
    .action((name: string, position: number, options: SkipOptions) => skipEvent(context, name, position, options))
  withExamples(withJson(withServer(skip)), [
    ['runwarden projections skip alerts 4711 --reason "fixed in 1.3"', 'goes on behind event 4711'],
  ])
}

type SkipOptions = Options & { reason?: string }

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
  if (options.json) {
    for (const projection of projections) await screen.json(projection)
    return
  }
  for (const line of tableLines(columns, projections.map(row), screen)) await screen.line(line)
  for (const { name, failure, skips } of projections) {
    if (failure !== null) await screen.line(`\n${stoppedText(name, failure.position)}`)
    for (const skip of skips) await screen.line(`\n${skipText(name, skip)}`)
  }
}

const stoppedText = (name: string, position: number) =>
  `${name} has stopped at event ${position}; the others go on. The way out: a Runwarden that can take the event, or, ` +
  `to go on without it: runwarden projections skip ${name} ${position} --reason "…"`

function skipText(name: string, { position, type, stream, error, skippedBy, skippedAt, reason }: Skip): string {
  const who = `${skippedBy.kind.toLowerCase()} ${skippedBy.id}, ${skippedAt}${reason === null ? '' : `: ${reason}`}`
  return printable(
    `${name} may pass over event ${position} (${type} of ${stream}), by ${who}. It could not be taken: ${error}`,
  )
}

async function skipEvent({ connect, screen }: CliContext, name: string, position: number, options: SkipOptions) {
  const { skipProjectionEvent: result } = await connect(options).request<{ skipProjectionEvent: SkipAnswer | Problem }>(
    documents.skipProjectionEvent,
    { name, position, reason: options.reason ?? null },
  )
  if (!isAnswer<SkipAnswer>(result, 'SkipProjectionEventAnswer')) throw failureOf(result)
  if (options.json) return screen.json(result)
  const { skip, projection } = result
  await screen.line(`${name} passes over event ${skip.position} (${skip.type} of ${skip.stream}).`)
  await screen.line(
    printable(
      `It is ${projection.state} at ${projection.position}${projection.error === null ? '.' : `: ${projection.error}`}`,
    ),
  )
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
    else await screen.line(rebuiltText(rebuilt))
  }
}

function rebuiltText({ name, events, durationMs, passedOver }: Rebuilt): string {
  const without = passedOver === 0 ? '' : `, ${passedOver} of them passed over`
  return `${name}: ${events} events in ${formatDuration(durationMs)}${without}`
}
