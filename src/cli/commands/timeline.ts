import type { Command } from 'commander'
import type { Page, TimelineEntry, TimelineHead } from '../answers.ts'
import { type CliContext, withExamples, withJson, withServer } from '../context.ts'
import { documents } from '../documents.ts'
import type { ServerOptions } from '../locate.ts'
import { parseWholeNumber } from '../option-values.ts'
import { eachNode } from '../pages.ts'
import { runNotFound } from '../problems.ts'
import { meantRun } from '../run-id.ts'
import { timelineLines } from '../timeline-text.ts'

type Options = ServerOptions & { limit: number; json?: true }

export function addTimeline(program: Command, context: CliContext): void {
  const command = program
    .command('timeline')
    .description('Show what happened to a run: when, by whom, and how long each phase took.')
    .argument('<run>', 'id of the run')
    .option('--limit <n>', 'at most this many events', parseWholeNumber(1, 100_000), 10_000)
    .action((id: string, options: Options) => timeline(context, id, options))
  withExamples(withJson(withServer(command)), [
    ['runwarden timeline run_0123456789ab', 'a post-mortem begins here'],
    ["runwarden timeline run_0123456789ab --json | jq '.phases[] | {kind, name, durationMs}'", 'how long what took'],
  ])
}

async function timeline({ connect, screen }: CliContext, typed: string, options: Options): Promise<void> {
  const server = connect(options)
  const id = await meantRun(server, typed)
  const { run: head } = await server.request<{ run: TimelineHead | null }>(documents.timelineHead, { id })
  if (head === null) throw runNotFound(id)
  const entries: TimelineEntry[] = []
  const fetchPage = async (first: number, after: string | null) => {
    const { run } = await server.request<{ run: { timeline: Page<TimelineEntry> } | null }>(documents.timeline, {
      id,
      first,
      after,
    })
    if (run === null) throw runNotFound(id)
    return run.timeline
  }
  const { more } = await eachNode(fetchPage, options.limit, async (entry) => void entries.push(entry))
  if (options.json) await screen.json({ ...head, timeline: entries })
  else for (const line of timelineLines(head, entries, Date.now(), screen)) await screen.line(line)
  if (more) screen.say(`There are more; --limit ${options.limit * 2} shows further ones.`)
}
