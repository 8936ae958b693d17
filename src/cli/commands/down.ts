import { type Command, Option } from 'commander'
import type { DownResult } from '../composed.ts'
import { type CliContext, withExamples, withJson } from '../context.ts'
import { parseDuration } from '../durations.ts'
import { CliError, exitCodes } from '../exit-codes.ts'
import { printable } from '../printable.ts'

type Options = { timeout: number; json?: true }

export function addDown(program: Command, context: CliContext): void {
  const command = program
    .command('down')
    .description('Stop the server of this machine. Its runs go on, and the next `up` adopts them.')
    .addOption(
      new Option('--timeout <duration>', 'wait no longer than this for it to stop')
        .argParser(parseDuration)
        .default(30_000, '30s'),
    )
    .action((options: Options) => down(context, options))
  withExamples(withJson(command), [['runwarden down', 'no run is killed by this']])
}

async function down({ deps, screen }: CliContext, options: Options): Promise<void> {
  const result = await deps.composed.down({ timeoutMs: options.timeout })
  const failure = failureOf(result)
  if (options.json) await screen.json(result)
  if (failure !== undefined) throw failure
  if (options.json) return
  if (result.type === 'stopped')
    await screen.line(`Stopped (pid ${result.pid}). Runs go on; \`runwarden up\` adopts them.`)
  if (result.type === 'not-running') await screen.line(`Not running: ${printable(result.detail)}`)
}

function failureOf(result: DownResult): CliError | undefined {
  if (result.type === 'timeout') return new CliError(exitCodes.timeout, result.message)
  if (result.type === 'refused') return new CliError(exitCodes.conflict, result.message, result.wayOut)
  return undefined
}
