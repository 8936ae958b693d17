import { type Command, Option } from 'commander'
import { type RunStatus, runStatuses } from '../../domain/run-state.ts'
import type { Page, RunRow } from '../answers.ts'
import { type CliContext, withExamples, withJson, withServer } from '../context.ts'
import { documents } from '../documents.ts'
import { formatDuration } from '../durations.ts'
import type { ServerOptions } from '../locate.ts'
import { collect, parsePair, parseWholeNumber } from '../option-values.ts'
import { eachNode } from '../pages.ts'
import { cut, printable } from '../printable.ts'
import { ageText, statusCell, verdictCell } from '../run-text.ts'
import type { Screen } from '../screen.ts'
import { type Cell, type Column, tableLines } from '../table.ts'

type Options = ServerOptions & {
  all?: true
  status?: RunStatus[]
  workflow?: string
  label?: { name: string; value: string }[]
  limit: number
  json?: true
}

export function addLs(program: Command, context: CliContext): void {
  const command = program
    .command('ls')
    .description('List the runs that are alive or waiting, newest first.')
    .option('--all', 'ended runs too')
    .addOption(new Option('--status <status...>', 'only runs with this status').choices(runStatuses))
    .option('--workflow <name>', 'only runs of this workflow')
    .option('--label <name=value>', 'only runs with this label (repeatable)', collect(parsePair))
    .option('--limit <n>', 'at most this many', parseWholeNumber(1, 100_000), 50)
    .action((options: Options) => ls(context, options))
  withExamples(withJson(withServer(command)), [
    ['runwarden ls', 'what is running now'],
    ['runwarden ls --status KILL_UNVERIFIED', 'kills that could not be proven'],
    ["runwarden ls --json | jq -r 'select(.turns == 0).id'", 'ids of those without a turn'],
  ])
}

async function ls({ connect, screen }: CliContext, options: Options): Promise<void> {
  const filter = {
    ...(options.status === undefined ? {} : { status: options.status }),
    ...(options.workflow === undefined ? {} : { workflow: options.workflow }),
    ...(options.label === undefined ? {} : { labels: options.label }),
    // Decoys are nobody's work; who asks for them by name means them.
    ...(options.workflow === undefined ? { canary: false } : {}),
    // A named status says by itself whether ended runs are meant.
    ...(options.all || options.status !== undefined ? {} : { live: true }),
  }
  const server = connect(options)
  const fetchPage = async (first: number, after: string | null) =>
    (await server.request<{ runs: Page<RunRow> }>(documents.runs, { filter, first, after })).runs
  const rows: RunRow[] = []
  const { more } = await eachNode(fetchPage, options.limit, async (run) => {
    if (options.json) await screen.json(run)
    else rows.push(run)
  })
  if (!options.json) for (const line of table(rows, screen)) await screen.line(line)
  if (more) screen.say(`There are more; --limit ${options.limit * 2} shows further ones.`)
}

/** Of one that has ended both: how long it ran, and how long ago that was. */
function age(run: RunRow, nowMs: number): string {
  const ended = run.endedAt === null ? '' : `, ended ${formatDuration(nowMs - Date.parse(run.endedAt))} ago`
  return `${ageText(run, nowMs)}${ended}`
}

const columns: Column[] = [
  { title: 'RUN' },
  { title: 'WORKFLOW' },
  { title: 'STATUS' },
  { title: 'VERDICT' },
  { title: 'PHASE' },
  { title: 'TURNS', align: 'right' },
  { title: 'AGE', align: 'right' },
  { title: 'PID', align: 'right' },
  { title: 'LAST OUTPUT' },
]

function table(runs: RunRow[], screen: Screen): string[] {
  const nowMs = Date.now()
  const rows = runs.map((run): Cell[] => [
    run.id,
    cut(printable(run.workflow), 24),
    statusCell(run),
    verdictCell(run),
    cut(printable(run.phase ?? ''), 20),
    String(run.turns),
    age(run, nowMs),
    run.pid === null ? '-' : String(run.pid),
    printable(run.lastOutput ?? ''),
  ])
  return tableLines(columns, rows, screen)
}
