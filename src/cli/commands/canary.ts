import type { Command } from 'commander'
import type { CanaryResult, CanaryState, Problem } from '../answers.ts'
import { type CliContext, withExamples, withJson, withServer } from '../context.ts'
import { documents } from '../documents.ts'
import { formatDuration } from '../durations.ts'
import { exitCodes } from '../exit-codes.ts'
import type { ServerOptions } from '../locate.ts'
import { parseWholeNumber } from '../option-values.ts'
import { printable } from '../printable.ts'
import { failureOf, isAnswer } from '../problems.ts'
import type { Screen, Style } from '../screen.ts'
import { type Cell, tableLines } from '../table.ts'

type Options = ServerOptions & { last?: number; json?: true }
type Answer = { __typename: 'RunCanaryAnswer'; result: CanaryResult; joined: boolean }

/** Of the server: a start, a grace and a proof, each of them bounded. */
const canaryLimitMs = 120_000

export function addCanary(program: Command, context: CliContext): void {
  const command = program
    .command('canary')
    .description('Start a decoy that is hard to kill, kill it, and say whether kills work here.')
    .option('--last <n>', 'start none; list the last results, newest first', parseWholeNumber(1, 100))
    .action((options: Options) => canary(context, options))
  withExamples(withJson(withServer(command)), [
    ['runwarden canary', 'before you rely on it; exit 1 where it fails, 6 where no slot is free'],
    ['runwarden canary --last 10', 'how it went before'],
  ])
}

async function canary(context: CliContext, options: Options): Promise<void> {
  const { connect, screen, end } = context
  const server = connect(options)
  if (options.last !== undefined) {
    const { canary } = await server.request<{ canary: CanaryState }>(documents.canary, { last: options.last })
    return list(screen, canary, options)
  }
  const { runCanary } = await server.request<{ runCanary: Answer | Problem }>(
    documents.runCanary,
    {},
    {
      limitMs: canaryLimitMs,
    },
  )
  if (!isAnswer<Answer>(runCanary, 'RunCanaryAnswer')) throw failureOf(runCanary)
  const { result, joined } = runCanary
  if (joined) screen.say('(one was under way already; this is its result)')
  if (options.json) await screen.json(result)
  else for (const line of resultLines(result, screen)) await screen.line(line)
  if (result.outcome === 'FAILED') end(exitCodes.failure)
  else if (result.outcome !== 'PASSED') end(exitCodes.unavailable)
}

async function list(screen: Screen, { results, nextAt }: CanaryState, options: Options): Promise<void> {
  if (options.json) {
    for (const result of results) await screen.json(result)
    return
  }
  const columns = ['STARTED', 'OUTCOME', 'READY', 'SIGKILL', 'PROVEN', 'ANSWERED', 'DECOY', 'MESSAGE']
  const lines = tableLines(
    columns.map((title) => ({ title })),
    results.map(row),
    screen,
  )
  for (const line of lines) await screen.line(line)
  screen.say(
    nextAt === null ? 'None is scheduled (RUNWARDEN_CANARY_INTERVAL_MS).' : `The next one is due at ${nextAt}.`,
  )
}

const styleOf: Record<CanaryResult['outcome'], Style> = {
  RUNNING: 'cyan',
  PASSED: 'green',
  FAILED: ['red', 'bold'],
  SKIPPED: 'yellow',
}

const ms = (value: number | null) => (value === null ? '-' : formatDuration(value))

const row = ({ startedAt, outcome, timings, runId, message }: CanaryResult): Cell[] => [
  startedAt,
  { text: outcome, style: styleOf[outcome] },
  ...[timings.readyMs, timings.sigkillMs, timings.provenMs, timings.answeredMs].map(ms),
  runId,
  printable(message ?? ''),
]

function resultLines(result: CanaryResult, { paint }: Screen): string[] {
  const { outcome, phase, message, runId, host, level, processes, timings } = result
  const where = phase === null ? '' : ` (${phase})`
  const headline =
    `${paint(styleOf[outcome], outcome)}${where}  ${message === null ? '' : printable(message)}`.trimEnd()
  const proof =
    level === null ? null : `${processes} processes, none left; level ${level.toLowerCase().replace('_', '-')}`
  const facts: [string, string | null][] = [
    ['decoy', `${runId} on ${host}`],
    ['ready', timings.readyMs === null ? null : `after ${ms(timings.readyMs)}`],
    ['SIGTERM', timings.sigtermMs === null ? null : `+${ms(timings.sigtermMs)}`],
    ['SIGKILL', timings.sigkillMs === null ? null : `+${ms(timings.sigkillMs)}`],
    ['proven', timings.provenMs === null ? null : `+${ms(timings.provenMs)}`],
    ['answered', timings.answeredMs === null ? null : `+${ms(timings.answeredMs)}`],
    ['proof', proof],
  ]
  const lines = facts.flatMap(([name, value]) =>
    value === null ? [] : [`  ${paint('dim', name.padEnd(12))} ${value}`],
  )
  return [headline, ...lines]
}
