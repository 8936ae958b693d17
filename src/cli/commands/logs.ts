import type { Command } from 'commander'
import { type CliContext, withExamples, withJson, withServer } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import { fetchRun } from '../fetch-run.ts'
import { interruptible } from '../interrupt.ts'
import type { ServerOptions } from '../locate.ts'
import { parseWholeNumber } from '../option-values.ts'
import { followOutput, printOutput } from '../output.ts'
import { meantRun } from '../run-id.ts'

type Options = ServerOptions & { follow?: true; after: number; raw?: true; json?: true }

export function addLogs(program: Command, context: CliContext): void {
  const command = program
    .command('logs')
    .description('Print what a run wrote to stdout and stderr.')
    .argument('<run>', 'id of the run')
    .option('-f, --follow', 'go on until it ends; Ctrl-C stops watching, not the run')
    .option('--after <bytes>', 'begin at this offset', parseWholeNumber(0, Number.MAX_SAFE_INTEGER), 0)
    .option('--raw', 'hand control sequences on to a terminal, too (only for a run that you trust)')
    .action((id: string, options: Options) => logs(context, id, options))
  withExamples(withJson(withServer(command)), [
    ['runwarden logs run_0123456789ab --follow', 'watch it'],
    ['runwarden logs run_0123456789ab > run.log', 'as it was written, byte for byte'],
  ])
}

async function logs(context: CliContext, typed: string, options: Options): Promise<void> {
  const server = context.connect(options)
  const id = await meantRun(server, typed)
  const run = await fetchRun(server, id)
  const output = { from: options.after, json: options.json === true, raw: options.raw === true }
  if (options.follow) {
    await interruptible(async (signal) => {
      await followOutput(context, server, id, output, signal)
      if (signal.aborted) context.end(exitCodes.interrupted)
    })
    return
  }
  const found = await printOutput(context, server, id, output)
  if (!found) context.screen.say(`${id} is ${run.status}, and there is no output of it on ${run.host}.`)
}
