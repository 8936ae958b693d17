import { type Command, Option } from 'commander'
import type { Problem, RunDetails } from '../answers.ts'
import { type CliContext, withExamples, withJson, withServer } from '../context.ts'
import { documents } from '../documents.ts'
import { parseDuration } from '../durations.ts'
import { CliError, exitCodes } from '../exit-codes.ts'
import type { ServerOptions } from '../locate.ts'
import { failureOf, isAnswer } from '../problems.ts'
import { meantRun } from '../run-id.ts'

type Options = ServerOptions & { as: string; reason?: string; timeout: number; json?: true }
type Answer = { __typename: 'ForceCompleteRunAnswer'; success: boolean; message: string; run: RunDetails }

export function addComplete(program: Command, context: CliContext): void {
  const command = program
    .command('complete')
    .description('End a run as failed or completed by decision; a live one is killed first, and proven dead.')
    .argument('<run>', 'id of the run')
    .addOption(new Option('--as <outcome>', 'as what it ends').choices(['failed', 'completed']).default('failed'))
    .option('--reason <text>', 'why, for the record')
    .addOption(
      new Option('--timeout <duration>', 'how long to wait; what was decided goes on in any case')
        .argParser(parseDuration)
        .default(30_000, '30s'),
    )
    .action((id: string, options: Options) => complete(context, id, options))
  withExamples(withJson(withServer(command)), [
    ['runwarden complete run_0123456789ab --as completed --reason "the branch is merged"', ''],
  ]).addHelpText(
    'after',
    '\nExit status: 0 ended, 1 not proven dead, 3 no such run, 5 it had ended or was decided otherwise, 124 --timeout passed.',
  )
}

async function complete({ screen, connect }: CliContext, id: string, options: Options): Promise<void> {
  const { as, reason, timeout } = options
  const server = connect(options)
  const runId = await meantRun(server, id)
  const { forceCompleteRun } = await server.request<{ forceCompleteRun: Answer | Problem }>(
    documents.forceCompleteRun,
    { input: { runId, outcome: as.toUpperCase(), reason, timeoutMs: timeout } },
    { limitMs: timeout + 15_000 },
  )
  if (!isAnswer<Answer>(forceCompleteRun, 'ForceCompleteRunAnswer')) throw failureOf(forceCompleteRun)
  const { success, message, run } = forceCompleteRun
  if (options.json) screen.json(forceCompleteRun)
  if (!success) {
    const unverified = run.status === 'KILL_UNVERIFIED'
    throw new CliError(unverified ? exitCodes.failure : exitCodes.timeout, message, `See: runwarden show ${runId}`)
  }
  screen.say(message)
  if (!options.json) await screen.line(`${run.id}  ${run.status}`)
}
