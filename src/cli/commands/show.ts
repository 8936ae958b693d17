import type { Command } from 'commander'
import type { Alert, Page, RunDetails } from '../answers.ts'
import type { Connection } from '../connection.ts'
import { type CliContext, withExamples, withJson, withServer } from '../context.ts'
import { documents } from '../documents.ts'
import { CliError, exitCodes } from '../exit-codes.ts'
import { fetchRun } from '../fetch-run.ts'
import type { ServerOptions } from '../locate.ts'
import { type Moment, momentHelp, parseMoment, replayLine, replayRun } from '../moment.ts'
import { receiptLines } from '../receipt-text.ts'
import { meantRun } from '../run-id.ts'
import { runLines } from '../run-text.ts'

type Options = ServerOptions & { at?: Moment; receipt?: true; json?: true }

export function addShow(program: Command, context: CliContext): void {
  const command = program
    .command('show')
    .description('Show one run: what it is, how it is, and the proof of its end.')
    .argument('<run>', 'id of the run')
    .option('--at <moment>', momentHelp, parseMoment)
    .option('--receipt', 'the receipt only; exit 1 where there is none, or it proves nothing')
    .action((id: string, options: Options) => show(context, id, options))
  withExamples(withJson(withServer(command)), [
    ['runwarden show run_0123456789ab', 'all that matters about it'],
    ['runwarden show run_0123456789ab --at 10m', 'the same, as it was ten minutes ago'],
    ['runwarden show run_0123456789ab --at +90s', '90 seconds after its start'],
    ['runwarden show run_0123456789ab --receipt --json', 'the receipt, for a script'],
  ])
}

async function show(context: CliContext, typed: string, options: Options): Promise<void> {
  const { screen } = context
  const server = context.connect(options)
  const id = await meantRun(server, typed)
  const replay = options.at && (await replayRun(server, id, options.at))
  const run = replay?.was ?? (await fetchRun(server, id))
  if (options.receipt) return showReceipt(context, run, options.json === true)
  if (options.json) return screen.json(run)
  const nowMs = Date.now()
  if (replay !== undefined) {
    await screen.line(`${screen.paint(['yellow', 'bold'], 'REPLAY')}  ${replayLine(replay, nowMs)}`)
  }
  const clockMs = run.asOf === null ? nowMs : Date.parse(run.asOf)
  const alerts = run.asOf === null ? await openAlerts(server, id) : []
  for (const line of runLines(run, clockMs, screen, { receipt: true, alerts })) await screen.line(line)
}

/** At most one of each kind is open. */
async function openAlerts(server: Connection, runId: string): Promise<Alert[]> {
  const { alerts } = await server.request<{ alerts: Page<Alert> }>(documents.alerts, { open: true, runId, first: 50 })
  return alerts.edges.map(({ node }) => node)
}

async function showReceipt({ screen, end }: CliContext, run: RunDetails, json: boolean): Promise<void> {
  if (run.receipt === null) {
    const when = run.asOf === null ? 'is' : `at ${run.asOf} was`
    throw new CliError(exitCodes.failure, `${run.id} ${when} ${run.status}, without a receipt.`)
  }
  const receipt = run.receipt.json
  if (!receipt.proven) end(exitCodes.failure)
  if (json) return screen.json(receipt)
  for (const line of receiptLines(receipt, screen)) await screen.line(line)
}
