import { type Command, Option } from 'commander'
import type { EmergencyKillAnswer, Problem, RunDetails, RunEvent } from '../answers.ts'
import { type Connection, ServerUnreachable } from '../connection.ts'
import { type CliContext, withExamples, withJson, withServer } from '../context.ts'
import { documents } from '../documents.ts'
import { formatDuration, parseDuration } from '../durations.ts'
import { forEachRun } from '../each-run.ts'
import { killWithoutServer, reportEmergency } from '../emergency.ts'
import { CliError, type ExitCode, exitCodes, usageError } from '../exit-codes.ts'
import { fetchRun } from '../fetch-run.ts'
import { interruptible } from '../interrupt.ts'
import type { ServerOptions } from '../locate.ts'
import { failureOf, isAnswer } from '../problems.ts'
import { proofLine } from '../receipt-text.ts'
import { isBeginning, meantRun } from '../run-id.ts'

type Options = ServerOptions & {
  force?: true
  emergency?: true
  reason?: string
  wait: 'accepted' | 'killed' | 'cleaned'
  timeout: number
  idempotencyKey?: string
  json?: true
}

type KillAnswer = {
  __typename: 'KillRunAnswer'
  success: boolean
  runId: string
  killedAt: string | null
  cleanupStatus: string
  message: string
  joined: boolean
  waitExpired: boolean
  run: RunDetails
}
type AlreadyEnded = Problem & { __typename: 'AlreadyEnded'; run: RunDetails }
type KillResult = KillAnswer | EmergencyKillAnswer | AlreadyEnded | Problem

export function addKill(program: Command, context: CliContext): void {
  const command = program
    .command('kill')
    .description('Kill runs with all their processes, and show the proof. Exit 0 means: proven dead.')
    .argument('<run...>', 'ids of the runs, or how they begin')
    .option('--force', 'SIGKILL at once: waits for no critical section, no SIGTERM, no grace')
    .option('--emergency', 'like --force; works without the event store, and on its machine without the server, too')
    .option('--reason <text>', 'why; it is kept in the audit trail')
    .addOption(
      new Option('--wait <until>', 'come back when it is accepted, killed or cleaned up')
        .choices(['accepted', 'killed', 'cleaned'])
        .default('cleaned'),
    )
    .addOption(
      new Option('--timeout <duration>', 'wait no longer than this; the kill goes on')
        .argParser(parseDuration)
        .default(60_000, '60s'),
    )
    .option('--idempotency-key <key>', 'a repeated request with this key is the same request')
    .action((ids: string[], options: Options) => interruptible((signal) => killEach(context, ids, options, signal)))
  withExamples(withJson(withServer(command)), [
    ['runwarden kill run_0123456789ab', 'out of critical sections, SIGTERM, 3 s of grace, SIGKILL, proof'],
    ['runwarden kill --force run_0123456789ab --reason "loops"', 'SIGKILL at once'],
    ['runwarden kill run_0123456789ab --wait killed --json', 'for a script'],
    ['runwarden kill --emergency run_0123456789ab', 'the database, or the server, is down'],
    ['runwarden kill 0123 89ab', 'two runs, by how their ids begin'],
  ]).addHelpText(
    'after',
    '\nExit status: 0 proven dead (with --wait accepted: accepted), 1 not proven, 3 no such run, 5 it had already ended,\n' +
      '124 --timeout passed. After 124 and after Ctrl-C the kill goes on. Of several runs the worst counts: 1, 124, 6, 4, 3,\n5, 0.',
  )
}

/** Each of a kill's waits is a request that stays open. Without a server they take the data directory in turn. */
const killsAtOnce = 8

function killEach(context: CliContext, ids: string[], options: Options, signal: AbortSignal): Promise<void> {
  const [only] = ids
  if (ids.length === 1 && only !== undefined) return kill(context, only, options, signal)
  const atOnce = options.emergency ? 1 : killsAtOnce
  return forEachRun(context, ids, atOnce, (own, id) => kill(own, id, options, signal))
}

async function kill(context: CliContext, typed: string, options: Options, signal: AbortSignal): Promise<void> {
  const server = context.connect(options)
  if (options.emergency && isBeginning(typed)) {
    throw usageError(
      `"${typed}" is no whole run id, and only the event store knows what it begins.`,
      'Give the whole id.',
    )
  }
  const id = await meantRun(server, typed)
  if (!(options.emergency && server.isThisMachine)) return killThrough(context, server, id, options, signal)
  try {
    if (await server.answers()) return await killThrough(context, server, id, options, signal)
  } catch (error) {
    if (!(error instanceof ServerUnreachable)) throw error
  }
  if (await killWithoutServer(context, server.url, id, options, signal)) return
  context.screen.say('A server has come up meanwhile: asking it.')
  await killThrough(context, context.connect(options), id, options, signal)
}

async function killThrough(
  context: CliContext,
  server: Connection,
  id: string,
  options: Options,
  signal: AbortSignal,
): Promise<void> {
  const before = await runBefore(server, id, options)
  const progress = before && followProgress(context, server, before, signal)
  try {
    const { killRun } = await requestKill(server, id, options, signal)
    if (isAnswer<KillAnswer>(killRun, 'KillRunAnswer')) {
      await progress?.reached(killRun.run.revision)
      return await report(context, killRun, options)
    }
    if (isAnswer<EmergencyKillAnswer>(killRun, 'EmergencyKillAnswer'))
      return await reportEmergency(context, killRun, options)
    throw killRun.__typename === 'AlreadyEnded' ? alreadyEnded(killRun as AlreadyEnded) : failureOf(killRun)
  } catch (error) {
    if (error instanceof ServerUnreachable && server.isThisMachine) throw withEmergencyWay(error, id)
    if (!signal.aborted) throw error
    throw new CliError(
      exitCodes.interrupted,
      `Stopped waiting. If it was accepted, the kill of ${id} goes on.`,
      `See: runwarden show ${id}`,
    )
  } finally {
    progress?.stop()
  }
}

const withEmergencyWay = ({ exitCode, message, wayOut }: CliError, id: string) =>
  new ServerUnreachable(
    exitCode,
    message,
    `${wayOut}\nIf it cannot be started now, its owner can kill without it: runwarden kill ${id} --emergency`,
  )

/** An emergency does not wait long for a database that hangs, only to show the steps. */
const emergencyLookMs = 2_000

/** undefined: it cannot be read. The kill is asked for all the same: its answer says why, and the attempt is recorded. */
async function runBefore(
  server: Connection,
  id: string,
  { emergency }: Pick<Options, 'emergency'>,
): Promise<RunDetails | undefined> {
  try {
    return await fetchRun(server, id, emergency ? { limitMs: emergencyLookMs } : {})
  } catch (error) {
    if (error instanceof CliError) return undefined
    throw error
  }
}

function requestKill(
  server: Connection,
  id: string,
  options: Options,
  signal: AbortSignal,
): Promise<{ killRun: KillResult }> {
  const { force = false, emergency = false, reason, wait, timeout, idempotencyKey } = options
  const input = { runId: id, force, emergency, reason, waitFor: wait.toUpperCase(), timeoutMs: timeout, idempotencyKey }
  // The server ends the wait; only one that hangs is given up on here.
  return server.request(documents.killRun, { input }, { signal, limitMs: timeout + 15_000 })
}

/** The message says as what it ended. */
const alreadyEnded = ({ message, run }: AlreadyEnded) =>
  new CliError(exitCodes.conflict, message, `See: runwarden show ${run.id}`)

/** Events that say how far a kill is. The others of a run may go on arriving meanwhile. */
const killEvents = new Set([
  'KillRequested',
  'KillDeferred',
  'SigtermSent',
  'SigkillSent',
  'ProcessExited',
  'RunKilled',
  'KillUnverified',
  'RunCompleted',
  'RunFailed',
  'RunLost',
  'CleanupStepFailed',
  'RunCleaned',
])

/** How long the answer of a kill waits for the events that lead to it: they travel on another connection. */
const eventsLagMs = 1000

/** Shows the steps of the kill as they happen. Showing is all it does: when it fails, the kill does not. */
function followProgress({ screen }: CliContext, server: Connection, before: RunDetails, signal: AbortSignal) {
  const stop = new AbortController()
  const reached = Promise.withResolvers<void>()
  let seen = before.revision
  let wanted = Number.POSITIVE_INFINITY
  const show = async () => {
    const events = server.subscribe<{ runEvents: { node: RunEvent } }>(
      documents.followRunEvents,
      { id: before.id },
      AbortSignal.any([stop.signal, signal]),
    )
    for await (const { runEvents } of events) {
      const event = runEvents.node
      // Everything else is telemetry, whose revisions count another stream, or came before this kill.
      if (!killEvents.has(event.type) || event.revision <= seen) continue
      seen = event.revision
      screen.say(`${event.occurredAt.slice(11, 23)}  ${event.summary}`)
      if (seen >= wanted) reached.resolve()
    }
  }
  void show()
    .catch((error: Error) => screen.say(`(the steps cannot be shown: ${error.message})`))
    .finally(reached.resolve)
  return {
    stop: () => stop.abort(),
    /** Resolves when the events up to this revision have been shown, or cannot be. */
    async reached(revision: number): Promise<void> {
      wanted = revision
      const late = setTimeout(reached.resolve, seen >= revision ? 0 : eventsLagMs)
      await reached.promise
      clearTimeout(late)
    },
  }
}

async function report({ screen, end }: CliContext, answer: KillAnswer, options: Options): Promise<void> {
  end(exitCodeOf(answer, options))
  if (options.json) return screen.json(answer)
  const receipt = answer.run.receipt?.json
  const took =
    answer.run.endedAt === null || answer.run.kill === null
      ? null
      : Date.parse(answer.run.endedAt) - Date.parse(answer.run.kill.requestedAt)
  await screen.line(
    `${answer.runId}  ${answer.run.status}${took === null ? '' : ` ${formatDuration(took)} after the request`}`,
  )
  if (receipt !== undefined) {
    await screen.line(`  ${proofLine(receipt, screen)}`)
    await screen.line(
      `  processes ${receipt.processCount}, cleanup ${answer.cleanupStatus}; all of it: runwarden show ${answer.runId} --receipt`,
    )
  }
  screen.say(answer.message)
}

function exitCodeOf(answer: KillAnswer, { wait }: Options): ExitCode {
  if (wait === 'cleaned' && answer.cleanupStatus === 'FAILED') return exitCodes.failure
  if (answer.success || wait === 'accepted') return exitCodes.ok
  return answer.waitExpired ? exitCodes.timeout : exitCodes.failure
}
