import { type Command, Option } from 'commander'
import type { Problem, RunDetails } from '../answers.ts'
import { type CliContext, withExamples, withJson, withServer } from '../context.ts'
import { documents } from '../documents.ts'
import { parseDuration } from '../durations.ts'
import { CliError, exitCodes } from '../exit-codes.ts'
import type { ServerOptions } from '../locate.ts'
import { failureOf, isAnswer } from '../problems.ts'
import { meantRun } from '../run-id.ts'

type Options = ServerOptions & {
  definition: 'recorded' | 'current'
  prompt?: string
  reason?: string
  timeout: number
  json?: true
}
type Answer = {
  __typename: 'RestartRunAnswer'
  newRunId: string
  message: string
  joined: boolean
  waitExpired: boolean
  run: RunDetails
}

export function addRestart(program: Command, context: CliContext): void {
  const command = program
    .command('restart')
    .description('Kill a run (when it lives), then start a new one with the same parameters, and print its id.')
    .argument('<run>', 'id of the run')
    .addOption(
      new Option('--definition <which>', 'as it was started, or as its workflow is defined now')
        .choices(['recorded', 'current'])
        .default('recorded'),
    )
    .option('--prompt <text>', 'another prompt than the old one')
    .option('--reason <text>', 'why, for the record')
    .addOption(
      new Option('--timeout <duration>', 'how long to wait; the restart goes on in any case')
        .argParser(parseDuration)
        .default(30_000, '30s'),
    )
    .action((id: string, options: Options) => restart(context, id, options))
  withExamples(withJson(withServer(command)), [
    ['runwarden restart run_0123456789ab --reason "stuck in initialization"', 'asked for twice, it is done once'],
    ['runwarden restart run_0123456789ab --definition current', 'with what its workflow says by now'],
  ]).addHelpText(
    'after',
    '\nExit status: 0 restarted, 1 the old run is not proven dead, 3 no such run,\n5 it is being restarted as something else already, 124 --timeout passed.',
  )
}

async function restart({ screen, connect }: CliContext, id: string, options: Options): Promise<void> {
  const { definition, prompt, reason, timeout } = options
  const server = connect(options)
  const runId = await meantRun(server, id)
  const { restartRun } = await server.request<{ restartRun: Answer | Problem }>(
    documents.restartRun,
    { input: { runId, definition: definition.toUpperCase(), prompt, reason, timeoutMs: timeout } },
    { limitMs: timeout + 15_000 },
  )
  if (!isAnswer<Answer>(restartRun, 'RestartRunAnswer')) throw failureOf(restartRun)
  if (options.json) screen.json(restartRun)
  if (restartRun.waitExpired) {
    const unverified = restartRun.run.status === 'KILL_UNVERIFIED'
    throw new CliError(
      unverified ? exitCodes.failure : exitCodes.timeout,
      restartRun.message,
      `See: runwarden show ${runId}`,
    )
  }
  screen.say(restartRun.message)
  if (!options.json) await screen.line(restartRun.newRunId)
}
