import type { Command } from 'commander'
import type { Page, RunDetails, RunEvent } from '../answers.ts'
import type { Connection } from '../connection.ts'
import { type CliContext, withExamples, withJson, withServer } from '../context.ts'
import { documents } from '../documents.ts'
import { exitCodes } from '../exit-codes.ts'
import { fetchRun } from '../fetch-run.ts'
import { followAcrossRestarts } from '../follow.ts'
import { interruptible } from '../interrupt.ts'
import type { ServerOptions } from '../locate.ts'
import { parseWholeNumber } from '../option-values.ts'
import { eachNode } from '../pages.ts'
import { printable } from '../printable.ts'
import { runNotFound } from '../problems.ts'
import { meantRun } from '../run-id.ts'
import { actorText, isEnded } from '../run-text.ts'
import type { Screen } from '../screen.ts'

type Options = ServerOptions & { follow?: true; after?: string; limit: number; json?: true }

export function addEvents(program: Command, context: CliContext): void {
  const command = program
    .command('events')
    .description('Print the events of a run, oldest first: everything that ever happened to it.')
    .argument('<run>', 'id of the run')
    .option('-f, --follow', 'go on with each event as it happens, until the run has ended')
    .option('--after <cursor>', 'begin after this cursor (each event of --json has one)')
    .option('--limit <n>', 'at most this many (not with --follow)', parseWholeNumber(1, 1_000_000), 10_000)
    .action((id: string, options: Options) => events(context, id, options))
  withExamples(withJson(withServer(command)), [
    ['runwarden events run_0123456789ab', 'its history'],
    ['runwarden events run_0123456789ab --follow --json', 'a stream of JSON, one event per line'],
  ])
}

type Entry = { cursor: string; node: RunEvent }

async function events(context: CliContext, typed: string, options: Options): Promise<void> {
  const server = context.connect(options)
  const id = await meantRun(server, typed)
  const print = entryPrinter(context.screen, options.json === true)
  if (options.follow) {
    await fetchRun(server, id)
    await interruptible(async (signal) => {
      for await (const entry of follow(context, server, id, options.after ?? null, signal)) await print(entry)
      if (signal.aborted) context.end(exitCodes.interrupted)
    })
    return
  }
  const fetchPage = async (first: number, after: string | null) => {
    const { runEvents } = await server.request<{ runEvents: Page<RunEvent> | null }>(documents.runEvents, {
      id,
      first,
      after,
    })
    if (runEvents === null) throw runNotFound(id)
    return runEvents
  }
  let last: string | undefined
  const visit = (node: RunEvent, cursor = '') => {
    last = cursor
    return print({ cursor, node })
  }
  const { more } = await eachNode(fetchPage, options.limit, visit, options.after ?? null)
  if (more) context.screen.say(`There are more; go on with --after ${last}`)
}

async function* follow(
  { screen }: CliContext,
  server: Connection,
  id: string,
  from: string | null,
  signal: AbortSignal,
): AsyncGenerator<Entry> {
  let after = from
  const events = {
    subscribe: (onConnected: () => void) =>
      server.subscribe<{ runEvents: Entry }>(documents.followRunEvents, { id, after }, signal, onConnected),
    isOver: async () => isCleanedUp(await fetchRun(server, id)),
    onLost: () => screen.say('(the connection to the server is lost; trying again …)'),
  }
  for await (const { runEvents } of followAcrossRestarts(events, signal)) {
    after = runEvents.cursor
    yield runEvents
  }
}

/** Of an event that only a newer Runwarden knows: what is in it, as it is. */
const raw = ({ isKnown, data }: RunEvent) => (isKnown ? '' : `: ${printable(JSON.stringify(data))}`)

const isCleanedUp = (run: RunDetails) =>
  isEnded(run) && (run.cleanup.status === 'DONE' || run.cleanup.status === 'FAILED')

function entryPrinter(screen: Screen, json: boolean): (entry: Entry) => Promise<void> {
  if (json) return ({ cursor, node }) => screen.json({ cursor, ...node })
  return ({ node }) => {
    const when = screen.paint('dim', node.occurredAt)
    const actor = node.actor.kind === 'HOST' ? '' : screen.paint('dim', `  by ${actorText(node.actor)}`)
    return screen.line(`${when}  ${printable(node.type).padEnd(20)}  ${printable(node.summary)}${raw(node)}${actor}`)
  }
}
