import type { Command } from 'commander'
import type { RunRow } from '../answers.ts'
import { type CliContext, withExamples, withJson, withServer } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import { interruptible } from '../interrupt.ts'
import type { ServerOptions } from '../locate.ts'
import { meantRun } from '../run-id.ts'
import { followWatched, type WatchView } from '../watch/follow-watched.ts'
import { openLiveScreen } from '../watch/live-screen.ts'
import { changeLine, frameLines, tableOf } from '../watch/watch-text.ts'
import { createWatchedRuns, type WatchedRuns } from '../watch/watched-runs.ts'

type Options = ServerOptions & { workflow?: string; all?: true; json?: true }

export function addWatch(program: Command, context: CliContext): void {
  const command = program
    .command('watch')
    .description('Show runs as they change: a live table on a terminal, else a line per change.')
    .argument('[runs...]', 'ids of runs; it ends when all of them have (default: all that are alive or waiting)')
    .option('--workflow <name>', 'only runs of this workflow')
    .option('--all', 'ended runs too')
    .action((ids: string[], options: Options) => watch(context, ids, options))
  withExamples(withJson(withServer(command)), [
    ['runwarden watch', 'everything that lives, what wants attention first; q ends the watch'],
    ['runwarden watch run_0123456789ab', 'one run, until it has ended'],
    ['runwarden watch --json | jq -r \'select(.verdict.verdict == "STUCK").id\'', 'act on what gets stuck'],
  ])
}

/** A hang-up or a polite end must not leave the terminal painted. */
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

async function watch(
  context: CliContext,
  typed: string[],
  { workflow, all, json, ...options }: Options,
): Promise<void> {
  const server = context.connect(options)
  const ids = await Promise.all(typed.map((id) => meantRun(server, id)))
  const watched = { ids, workflow, all: all === true }
  const runs = createWatchedRuns(watched)
  await interruptible(async (interrupted) => {
    const over = new AbortController()
    const view = openView(context, runs, json === true, () => over.abort())
    const changed = async (run: RunRow) => {
      await view.changed(run)
      if (runs.allEnded()) over.abort()
    }
    try {
      const signal = AbortSignal.any([interrupted, over.signal])
      await followWatched(server, watched, runs, { ...view, changed }, signal)
    } catch (error) {
      if (!interrupted.aborted && !over.signal.aborted) throw error
    } finally {
      over.abort()
      await view.close()
    }
    if (interrupted.aborted || view.wasInterrupted()) context.end(exitCodes.interrupted)
  }, signals)
}

type View = WatchView & { close(): Promise<void> | void; wasInterrupted(): boolean }

function openView(context: CliContext, runs: WatchedRuns, json: boolean, end: () => void): View {
  const { screen, deps } = context
  const canPaint = screen.isTerminal && deps.env.TERM !== 'dumb'
  return json || !canPaint ? lineView(context, json) : tableView(context, runs, end)
}

function lineView({ screen }: CliContext, json: boolean): View {
  let said: string | null = null
  return {
    changed: (run) => (json ? screen.json(run) : screen.line(changeLine(run, Date.now()))),
    notice: (text) => {
      if (text !== null && text !== said) screen.say(text)
      if (text === null && said !== null) screen.say('The server is back.')
      said = text
    },
    close: () => {},
    wasInterrupted: () => false,
  }
}

/** Ages grow by themselves. */
const redrawEveryMs = 1_000
/** Many changes at a time are painted once. */
const redrawAfterMs = 50

function tableView({ screen, deps }: CliContext, runs: WatchedRuns, end: () => void): View {
  let notice: string | null = 'Asking the server …'
  let interrupted = false
  let pending: NodeJS.Timeout | undefined
  const draw = () => {
    clearTimeout(pending)
    pending = undefined
    live.draw(frameLines(runs.inOrder(), { ...live.size(), nowMs: Date.now(), notice }, screen.paint))
  }
  const drawSoon = () => {
    pending ??= setTimeout(draw, redrawAfterMs)
  }
  const key = (typed: string) => {
    interrupted ||= typed === '\u0003'
    if (interrupted || typed.toLowerCase() === 'q') end()
  }
  const live = openLiveScreen(deps, { key, resize: draw })
  const ticking = setInterval(draw, redrawEveryMs)
  draw()
  return {
    changed: drawSoon,
    notice: (text) => {
      if (text === notice) return
      notice = text
      drawSoon()
    },
    close: async () => {
      clearInterval(ticking)
      clearTimeout(pending)
      live.close()
      // What was seen last stays, for whoever scrolls back.
      const last = runs.inOrder()
      if (last.length === 0) return
      for (const line of tableOf(last, Date.now(), live.size().columns, screen.paint)) await screen.line(line)
    },
    wasInterrupted: () => interrupted,
  }
}
