import type { Command } from 'commander'
import type { Actor, Page } from '../answers.ts'
import { type CliContext, withExamples, withJson, withServer } from '../context.ts'
import { documents } from '../documents.ts'
import type { ServerOptions } from '../locate.ts'
import { parseWholeNumber } from '../option-values.ts'
import { eachNode } from '../pages.ts'
import { printable } from '../printable.ts'
import { meantRun } from '../run-id.ts'
import { actorText } from '../run-text.ts'
import { type Cell, tableLines } from '../table.ts'

type Options = ServerOptions & { limit: number; json?: true }

type AuditEntry = {
  id: string
  at: string
  actor: Actor
  action: string
  target: string | null
  reason: string | null
  decision: 'ALLOWED' | 'DENIED'
  why: string
  outcome: string | null
  detail: string | null
}

export function addAudit(program: Command, context: CliContext): void {
  const command = program
    .command('audit')
    .description('Who tried what, newest first: refused attempts too.')
    .argument('[run]', 'only attempts on this run')
    .option('--limit <n>', 'at most this many', parseWholeNumber(1, 100_000), 50)
    .action((id: string | undefined, options: Options) => audit(context, id, options))
  withExamples(withJson(withServer(command)), [
    ['runwarden audit', 'the last 50 attempts'],
    ['runwarden audit run_0123456789ab', 'who touched this run'],
  ])
}

async function audit({ connect, screen }: CliContext, id: string | undefined, options: Options): Promise<void> {
  const server = connect(options)
  const runId = id === undefined ? undefined : await meantRun(server, id)
  const fetchPage = async (first: number, after: string | null) =>
    (await server.request<{ audit: Page<AuditEntry> }>(documents.audit, { runId, first, after })).audit
  const entries: AuditEntry[] = []
  const { more } = await eachNode(fetchPage, options.limit, async (entry) => {
    if (options.json) await screen.json(entry)
    else entries.push(entry)
  })
  const columns = ['TIME', 'WHO', 'ACTION', 'TARGET', 'DECISION', 'OUTCOME', 'REASON'].map((title) => ({ title }))
  if (!options.json) for (const line of tableLines(columns, entries.map(row), screen)) await screen.line(line)
  if (more) screen.say(`There are more; --limit ${options.limit * 2} shows further ones.`)
}

const row = (entry: AuditEntry): Cell[] => [
  entry.at,
  actorText(entry.actor),
  entry.action,
  printable(entry.target ?? '-'),
  entry.decision === 'DENIED' ? { text: 'denied', style: 'red' } : 'allowed',
  printable(entry.outcome ?? '-'),
  printable(entry.decision === 'DENIED' ? entry.why : (entry.reason ?? '')),
]
