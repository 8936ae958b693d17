import { type Command, Option } from 'commander'
import type { Problem, RunDetails } from '../answers.ts'
import { type CliContext, withExamples, withJson, withServer } from '../context.ts'
import { documents } from '../documents.ts'
import { parseDuration } from '../durations.ts'
import { CliError, exitCodes } from '../exit-codes.ts'
import type { ServerOptions } from '../locate.ts'
import { failureOf, isAnswer } from '../problems.ts'
import { meantRun } from '../run-id.ts'

type Options = ServerOptions & { reason?: string; timeout: number; json?: true }
type Answer = {
  __typename: 'PauseRunAnswer'
  success: boolean
  message: string
  waitExpired: boolean
  run: RunDetails
}

const statuses = (done: string) =>
  `\nExit status: 0 ${done}, 1 something else was asked for meanwhile, 3 no such run, 5 it has ended or is being killed,\n` +
  '124 --timeout passed; what was asked for goes on.'

const timeout = (what: string) =>
  new Option('--timeout <duration>', what).argParser(parseDuration).default(10_000, '10s')

export function addPause(program: Command, context: CliContext): void {
  const command = program
    .command('pause')
    .description('Stop all processes of a run until it is resumed; paused time is no age.')
    .argument('<run>', 'id of the run')
    .option('--reason <text>', 'why, for the record')
    .addOption(timeout('how long to wait; the pause comes in any case'))
    .action((id: string, options: Options) => hold(context, 'pauseRun', id, options))
  withExamples(withJson(withServer(command)), [
    ['runwarden pause run_0123456789ab --reason "a look at its files"', 'no process of it runs any more'],
    ['runwarden kill run_0123456789ab', 'works on a paused run, too'],
  ]).addHelpText('after', statuses('it stands still'))
}

export function addResume(program: Command, context: CliContext): void {
  const command = program
    .command('resume')
    .description('Let a run that is paused go on.')
    .argument('<run>', 'id of the run')
    .option('--reason <text>', 'why, for the record')
    .addOption(timeout('how long to wait; it goes on in any case'))
    .action((id: string, options: Options) => hold(context, 'resumeRun', id, options))
  withExamples(withJson(withServer(command)), [['runwarden resume run_0123456789ab', '']]).addHelpText(
    'after',
    statuses('it goes on'),
  )
}

async function hold(
  { screen, connect }: CliContext,
  mutation: 'pauseRun' | 'resumeRun',
  id: string,
  options: Options,
): Promise<void> {
  const { reason, timeout } = options
  const server = connect(options)
  const runId = await meantRun(server, id)
  const answered = await server.request<Record<typeof mutation, Answer | Problem>>(
    documents[mutation],
    { input: { runId, reason, timeoutMs: timeout } },
    { limitMs: timeout + 15_000 },
  )
  const answer = answered[mutation]
  if (!isAnswer<Answer>(answer, 'PauseRunAnswer')) throw failureOf(answer)
  const { success, message, waitExpired, run } = answer
  if (options.json) screen.json(answer)
  if (!success) {
    const code = waitExpired ? exitCodes.timeout : exitCodes.failure
    throw new CliError(code, message, `See: runwarden show ${runId}`)
  }
  screen.say(message)
  if (!options.json) await screen.line(`${run.id}  ${run.status}`)
}
