import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from 'commander'
import type { Problem, RunDetails } from '../answers.ts'
import { awaitLaunch, couldNotBeLaunched } from '../await-launch.ts'
import type { Connection } from '../connection.ts'
import { type CliContext, withExamples, withJson, withServer } from '../context.ts'
import { documents } from '../documents.ts'
import { CliError, exitCodes, usageError } from '../exit-codes.ts'
import { fetchRun } from '../fetch-run.ts'
import { interruptible } from '../interrupt.ts'
import { type LaunchOptions, launchInput, withLaunch } from '../launch-options.ts'
import type { ServerOptions } from '../locate.ts'
import { parseWholeNumber } from '../option-values.ts'
import { followOutput } from '../output.ts'
import { printable } from '../printable.ts'
import { failureOf, isAnswer } from '../problems.ts'
import { isEnded, outcomeOf } from '../run-text.ts'

type Options = ServerOptions &
  LaunchOptions & { workflow?: string; workflowVersion?: number; idempotencyKey?: string; follow?: true; json?: true }
type StartAnswer = { __typename: 'StartRunAnswer'; run: RunDetails }

export function addRun(program: Command, context: CliContext): void {
  const command = program
    .command('run')
    .description('Start a command, or a workflow that is defined, as a run, and print its id.')
    .usage('[options] -- <command> [arguments…]\n       runwarden run [options] --workflow <name>')
    .argument(
      '[command...]',
      'what to run: the executable, then its arguments; without it, what --workflow is defined as',
    )
    // What follows the command belongs to it, even without `--`.
    .passThroughOptions()
    .option('--workflow <name>', 'without a command: the workflow to start; with one: a name to find the run by')
    .option('--workflow-version <n>', 'an older version than the one in force', parseWholeNumber(1, 2 ** 31 - 1))
    .option('--idempotency-key <key>', 'a repeated request with this key starts nothing new')
    .option('--follow', 'show its output until it ends, and end the way it did')
    .action((argv: string[], options: Options) => run(context, argv, options))
  withExamples(withJson(withServer(withLaunch(command, 'the current one; of a workflow: as it is defined'))), [
    ['runwarden run -- sleep 600', 'prints its id'],
    ['runwarden run --workflow BUILDER --follow -- claude -p "fix it"', 'stay and watch; Ctrl-C leaves it running'],
    ['runwarden run --workflow BUILDER --prompt "fix #7"', 'as the workflow is defined, but for the prompt'],
    ['runwarden run --branch fix/7 -- ./agent.sh', 'in a new git worktree of the repository you are in'],
    ['runwarden run --temporary --env DEPTH=2 --grace 10s -- ./agent.sh', 'an empty workspace of its own'],
  ])
}

async function run(context: CliContext, argv: string[], options: Options): Promise<void> {
  const input = inputOf(context, argv, options)
  const server = context.connect(options)
  const { startRun } = await server.request<{ startRun: StartAnswer | Problem }>(documents.startRun, { input })
  if (!isAnswer<StartAnswer>(startRun, 'StartRunAnswer')) throw failureOf(startRun)
  if (options.json) await context.screen.json(startRun.run)
  // With --follow the output is the data, so the id goes where remarks go.
  else if (options.follow) context.screen.say(startRun.run.id)
  else await context.screen.line(startRun.run.id)
  if (options.follow) return interruptible((signal) => follow(context, server, startRun.run.id, options, signal))
  const run = await awaitLaunch(server, startRun.run)
  if (!couldNotBeLaunched(run)) return
  throw new CliError(
    exitCodes.failure,
    `${run.id} could not be launched: ${printable(run.failure?.message ?? '')}`,
    `See: runwarden show ${run.id}`,
  )
}

function inputOf(context: CliContext, command: string[], options: Options) {
  const { workflow, workflowVersion, idempotencyKey } = options
  const own = { ...launchInput(context, options), workflow, workflowVersion, idempotencyKey }
  if (command.length > 0) {
    const here = { kind: 'EXISTING', path: context.deps.cwd }
    return { ...own, command, workspace: own.workspace ?? here }
  }
  if (workflow === undefined) {
    throw usageError(
      'Nothing to run: give a command after --, or the --workflow to start.',
      'See: runwarden run --help',
    )
  }
  return own
}

const endPollMs = 100
/** What a run leaves behind is killed before the run has ended: its grace and the search for proof take time. */
const endLimitMs = 60_000

async function follow(
  context: CliContext,
  server: Connection,
  id: string,
  options: Options,
  signal: AbortSignal,
): Promise<void> {
  await followOutput(context, server, id, { from: 0, json: options.json === true }, signal)
  if (signal.aborted) {
    context.screen.say(
      `Detached: ${id} goes on. Watch it with: runwarden logs ${id} --follow. End it with: runwarden kill ${id}`,
    )
    context.end(exitCodes.interrupted)
    return
  }
  const ended = await endOf(server, id)
  if (options.json) await context.screen.json(ended)
  context.screen.say(`${id} ended: ${outcomeOf(ended)}`)
  context.end(ended.status === 'COMPLETED' ? exitCodes.ok : exitCodes.failure)
}

/** The output ends a moment before the run does: its last facts are still on the way. */
async function endOf(server: Connection, id: string): Promise<RunDetails> {
  const deadline = Date.now() + endLimitMs
  for (;;) {
    const run = await fetchRun(server, id)
    if (isEnded(run)) return run
    if (Date.now() > deadline) {
      throw new CliError(
        exitCodes.timeout,
        `The output of ${id} has ended, but it is still ${run.status}.`,
        `See: runwarden show ${id}`,
      )
    }
    await delay(endPollMs)
  }
}
