import type { CliContext } from './context.ts'
import { CliError, type ExitCode, exitCodes } from './exit-codes.ts'

/** Of several endings the first of these is the one to hear of. A run that had ended already is the least of them. */
const worstFirst: readonly ExitCode[] = [
  ...[exitCodes.interrupted, exitCodes.failure, exitCodes.timeout, exitCodes.unavailable, exitCodes.auth],
  ...[exitCodes.usage, exitCodes.notFound, exitCodes.conflict],
]

/**
 * Does for each of several runs what a command does for one. What it prints of a run comes in one piece, remarks name the
 * run, and what fails for one keeps none of the others from it. The command ends like the worst of them.
 * @param atOnce how many at the same time
 */
export async function forEachRun(
  context: CliContext,
  ids: readonly string[],
  atOnce: number,
  work: (context: CliContext, id: string) => Promise<void>,
): Promise<void> {
  const left = [...new Set(ids)]
  const codes = new Set<number>()
  const next = async (): Promise<void> => {
    for (let id = left.shift(); id !== undefined; id = left.shift()) codes.add(await one(context, id, work))
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, left.length) }, next))
  context.end(worstFirst.find((code) => codes.has(code)) ?? Math.max(...codes))
}

async function one(
  context: CliContext,
  id: string,
  work: (context: CliContext, id: string) => Promise<void>,
): Promise<number> {
  const { screen } = context
  const lines: string[] = []
  let code: number = exitCodes.ok
  const own: CliContext = {
    ...context,
    screen: {
      ...screen,
      line: async (text) => void lines.push(text),
      say: (text) => screen.say(`${id}: ${text}`),
    },
    end(ending) {
      code = ending
    },
  }
  try {
    await work(own, id)
  } catch (error) {
    if (!(error instanceof CliError)) throw error
    own.screen.say([error.message, ...(error.wayOut === undefined ? [] : [error.wayOut])].join(' '))
    code = error.exitCode
  }
  if (lines.length > 0) await screen.line(lines.join('\n'))
  return code
}
