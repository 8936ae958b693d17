import type { Command } from 'commander'
import type { RunDetails } from '../answers.ts'
import { type CliContext, withExamples, withJson, withServer } from '../context.ts'
import { CliError, exitCodes } from '../exit-codes.ts'
import { fetchRun } from '../fetch-run.ts'
import type { ServerOptions } from '../locate.ts'
import { parseWholeNumber } from '../option-values.ts'
import { receiptLines } from '../receipt-text.ts'
import { runLines } from '../run-text.ts'

type Options = ServerOptions & { at?: number; receipt?: true; json?: true }

export function addShow(program: Command, context: CliContext): void {
  const command = program
    .command('show')
    .description('Show one run: what it is, how it is, and the proof of its end.')
    .argument('<run>', 'id of the run')
    .option('--at <revision>', 'as it was right after this event of its stream', parseWholeNumber(0, 2 ** 31 - 1))
    .option('--receipt', 'the receipt only; exit 1 where there is none, or it proves nothing')
    .action((id: string, options: Options) => show(context, id, options))
  withExamples(withJson(withServer(command)), [
    ['runwarden show run_0123456789ab', 'all that matters about it'],
    ['runwarden show run_0123456789ab --at 3', 'the same, as it was then'],
    ['runwarden show run_0123456789ab --receipt --json', 'the receipt, for a script'],
  ])
}

async function show(context: CliContext, id: string, options: Options): Promise<void> {
  const run = await fetchRun(context.connect(options), id, options.at)
  if (options.receipt) return showReceipt(context, run, options.json === true)
  if (options.json) return context.screen.json(run)
  for (const line of runLines(run, Date.now(), context.screen, { receipt: true })) await context.screen.line(line)
}

async function showReceipt({ screen, end }: CliContext, run: RunDetails, json: boolean): Promise<void> {
  if (run.receipt === null) throw new CliError(exitCodes.failure, `${run.id} is ${run.status} and has no receipt.`)
  const receipt = run.receipt.json
  if (!receipt.proven) end(exitCodes.failure)
  if (json) return screen.json(receipt)
  for (const line of receiptLines(receipt, screen)) await screen.line(line)
}
