import type { Command } from 'commander'
import type { UpResult } from '../composed.ts'
import { type CliContext, withExamples } from '../context.ts'
import { CliError, type ExitCode, exitCodes } from '../exit-codes.ts'
import { parseWholeNumber } from '../option-values.ts'

type Options = { port?: number; address?: string; capacity?: number; takeOver?: boolean }
type Refusal = Extract<UpResult, { type: 'refused' }>

export function addUp(program: Command, { deps }: CliContext): void {
  const command = program
    .command('up')
    .description('Start the server, and serve until it is stopped. Runs of an earlier server are adopted.')
    .option('--port <port>', 'port of the API (RUNWARDEN_PORT; else 4680)', parseWholeNumber(0, 65_535))
    .option('--address <address>', 'address to listen on (RUNWARDEN_ADDRESS; else 127.0.0.1)')
    .option(
      '--capacity <n>',
      'runs that live at the same time; others wait (RUNWARDEN_CAPACITY)',
      parseWholeNumber(1, 100_000),
    )
    .option(
      '--take-over',
      'take the data directory over from an owner that cannot be asked; only when it is gone for sure',
    )
    .action(async ({ takeOver = false, ...options }: Options) => {
      const result = await deps.composed.up({ ...options, takeOver })
      if (result.type === 'refused') throw new CliError(exitCodeOf[result.reason], result.message, result.wayOut)
    })
  withExamples(command, [
    ['runwarden up', 'serve on http://127.0.0.1:4680'],
    ['DATABASE_URL=postgres://… runwarden up --port 8080', 'with your own PostgreSQL'],
  ])
}

const exitCodeOf: Record<Refusal['reason'], ExitCode> = {
  usage: exitCodes.usage,
  conflict: exitCodes.conflict,
  unavailable: exitCodes.unavailable,
  failure: exitCodes.failure,
}
