import { type Command, Option } from 'commander'
import type { Alert, Page } from '../answers.ts'
import type { Connection } from '../connection.ts'
import { type CliContext, withExamples, withJson, withServer } from '../context.ts'
import { documents } from '../documents.ts'
import { exitCodes } from '../exit-codes.ts'
import { followAcrossRestarts } from '../follow.ts'
import { interruptible } from '../interrupt.ts'
import type { ServerOptions } from '../locate.ts'
import { parseWholeNumber } from '../option-values.ts'
import { eachNode } from '../pages.ts'
import { printable } from '../printable.ts'
import { meantRun } from '../run-id.ts'
import type { Screen } from '../screen.ts'
import { type Cell, tableLines } from '../table.ts'

type Options = ServerOptions & { all?: true; run?: string; follow?: true; limit: number; json?: true }

export function addAlerts(program: Command, context: CliContext): void {
  const command = program
    .command('alerts')
    .description(
      'What people should know, newest first: stuck runs, timeouts, kills without proof, disks that fill up.',
    )
    .option('--all', 'those that are over, too')
    .option('--run <run>', 'only about this run')
    .addOption(
      new Option('--follow', 'those that are open now, then each one as it is raised or resolved').conflicts('all'),
    )
    .option('--limit <n>', 'at most this many (not with --follow)', parseWholeNumber(1, 100_000), 50)
    .action((options: Options) => alerts(context, options))
  withExamples(withJson(withServer(command)), [
    ['runwarden alerts', 'what is open'],
    ['runwarden alerts --all --run run_0123456789ab', 'all there ever was about this run'],
    ['runwarden alerts --follow --json', 'for a script that tells people'],
  ])
}

async function alerts(context: CliContext, options: Options): Promise<void> {
  const { connect, screen } = context
  const server = connect(options)
  const runId = options.run === undefined ? undefined : await meantRun(server, options.run)
  if (options.follow) return follow(context, server, runId, options)
  const filter = {
    ...(options.all ? {} : { open: true }),
    ...(runId === undefined ? {} : { runId }),
  }
  const fetchPage = async (first: number, after: string | null) =>
    (await server.request<{ alerts: Page<Alert> }>(documents.alerts, { ...filter, first, after })).alerts
  const found: Alert[] = []
  const { more } = await eachNode(fetchPage, options.limit, async (alert) => {
    if (options.json) await screen.json(alert)
    else found.push(alert)
  })
  const columns = ['SINCE', 'SEVERITY', 'KIND', 'RUN', 'WORKFLOW', 'UNTIL', 'MESSAGE'].map((title) => ({ title }))
  if (!options.json) for (const line of tableLines(columns, found.map(row), screen)) await screen.line(line)
  if (more) screen.say(`There are more; --limit ${options.limit * 2} shows further ones.`)
}

async function follow(
  { screen, end }: CliContext,
  server: Connection,
  runId: string | undefined,
  options: Options,
): Promise<void> {
  await interruptible(async (signal) => {
    let after: string | null = null
    const changes = {
      subscribe: (onConnected: () => void) =>
        server.subscribe<{ alerts: { cursor: string; alert: Alert } }>(
          documents.followAlerts,
          { after },
          signal,
          onConnected,
        ),
      // There may always be another one.
      isOver: async () => false,
      onLost: () => screen.say('(the connection to the server is lost; trying again …)'),
    }
    for await (const { alerts: change } of followAcrossRestarts(changes, signal)) {
      after = change.cursor
      if (runId === undefined || change.alert.runId === runId) await say(screen, change.alert, options)
    }
    if (signal.aborted) end(exitCodes.interrupted)
  })
}

async function say(screen: Screen, alert: Alert, { json }: Options): Promise<void> {
  if (json) return screen.json(alert)
  const over = alert.resolvedAt === null ? '' : `  (resolved: ${printable(alert.why ?? '')})`
  await screen.line(
    `${alert.resolvedAt ?? alert.raisedAt}  ${alert.severity}  ${alert.kind}  ${alert.runId ?? none}  ${printable(alert.workflow ?? none)}  ${printable(alert.message)}${over}`,
  )
}

/** Of an alert about a host. */
const none = '-'

const row = (alert: Alert): Cell[] => [
  alert.raisedAt,
  alert.severity === 'CRITICAL' ? { text: alert.severity, style: 'red' } : alert.severity,
  alert.kind,
  alert.runId ?? none,
  printable(alert.workflow ?? none),
  alert.resolvedAt ?? 'open',
  printable(alert.why === null ? alert.message : `${alert.message} ${alert.why}`),
]
