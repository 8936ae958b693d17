import type { Command } from 'commander'
import type { Page, Problem, WorkflowDetails, WorkflowRow } from '../answers.ts'
import { type CliContext, withExamples, withJson, withServer } from '../context.ts'
import { documents } from '../documents.ts'
import { formatDuration } from '../durations.ts'
import { CliError, exitCodes } from '../exit-codes.ts'
import { type LaunchOptions, launchInput, withLaunch } from '../launch-options.ts'
import type { ServerOptions } from '../locate.ts'
import { parseWholeNumber } from '../option-values.ts'
import { eachNode } from '../pages.ts'
import { printable } from '../printable.ts'
import { failureOf, isAnswer } from '../problems.ts'
import { type Column, tableLines } from '../table.ts'
import { workflowLines } from '../workflow-text.ts'

type DefineOptions = ServerOptions & LaunchOptions & { description?: string; json?: true }
type ListOptions = ServerOptions & { limit: number; json?: true }
type ShowOptions = ServerOptions & { version?: number; json?: true }

type DefineAnswer = { __typename: 'DefineWorkflowAnswer'; created: boolean; workflow: WorkflowDetails }

export function addWorkflow(program: Command, context: CliContext): void {
  const group = program.command('workflow').description('Named definitions that runs are started with.')

  const defining = group
    .command('define')
    .description('Define a workflow, or a new version of it, for the runs started by its name from now on.')
    .usage('[options] <name> -- <command> [arguments…]')
    .argument('<name>', 'its name: letters, digits and . _ : / -')
    .argument('<command...>', 'what to run: the executable, then its arguments')
    .option('--description <text>', 'what it is for')
    .action((name: string, argv: string[], options: DefineOptions) => define(context, name, argv, options))
  withExamples(withJson(withServer(withLaunch(defining, 'a new, empty one for each run'))), [
    [`runwarden workflow define BUILDER --cwd . -- sh -c 'claude -p "$RUNWARDEN_PROMPT"'`, 'run --workflow starts it'],
    ['runwarden workflow define LINA --policy strict --stuck-after 10m -- ./lina.sh', 'with thresholds of its own'],
  ])

  const listing = group
    .command('ls')
    .description('List the workflows, each in the version that is in force, by name.')
    .option('--limit <n>', 'at most this many', parseWholeNumber(1, 100_000), 500)
    .action((options: ListOptions) => ls(context, options))
  withExamples(withJson(withServer(listing)), [['runwarden workflow ls', 'what can be started by name']])

  const showing = group
    .command('show')
    .description('Show a workflow: how its runs are started, and who defined it.')
    .argument('<name>', 'its name')
    .option('--version <n>', 'an older version than the one in force', parseWholeNumber(1, 2 ** 31 - 1))
    .action((name: string, options: ShowOptions) => show(context, name, options))
  withExamples(withJson(withServer(showing)), [
    ['runwarden workflow show BUILDER', 'the version in force'],
    ['runwarden workflow show BUILDER --version 1 --json', 'the first one, for a script'],
  ])
}

async function define(context: CliContext, name: string, command: string[], options: DefineOptions): Promise<void> {
  const { screen } = context
  const input = { name, command, description: options.description, ...launchInput(context, options) }
  const { defineWorkflow } = await context
    .connect(options)
    .request<{ defineWorkflow: DefineAnswer | Problem }>(documents.defineWorkflow, { input })
  if (!isAnswer<DefineAnswer>(defineWorkflow, 'DefineWorkflowAnswer')) throw failureOf(defineWorkflow)
  const { workflow, created } = defineWorkflow
  if (!created) screen.say('The same definition was in force already: no new version.')
  if (options.json) return screen.json(defineWorkflow)
  await screen.line(`${printable(workflow.name)} version ${workflow.version}`)
}

const columns: Column[] = ['WORKFLOW', 'VERSION', 'POLICY', 'DEFINED', 'COMMAND'].map((title) => ({ title }))

async function ls({ connect, screen }: CliContext, options: ListOptions): Promise<void> {
  const server = connect(options)
  const fetchPage = async (first: number, after: string | null) =>
    (await server.request<{ workflows: Page<WorkflowRow> }>(documents.workflows, { first, after })).workflows
  const found: WorkflowRow[] = []
  const { more } = await eachNode(fetchPage, options.limit, async (workflow) => {
    if (options.json) await screen.json(workflow)
    else found.push(workflow)
  })
  const nowMs = Date.now()
  const row = ({ name, version, policy, definedAt, command }: WorkflowRow) => [
    printable(name),
    String(version),
    policy.preset.toLowerCase(),
    `${formatDuration(nowMs - Date.parse(definedAt))} ago`,
    printable(command.join(' ')),
  ]
  if (!options.json) for (const line of tableLines(columns, found.map(row), screen)) await screen.line(line)
  if (more) screen.say(`There are more; --limit ${options.limit * 2} shows further ones.`)
}

async function show({ connect, screen }: CliContext, name: string, options: ShowOptions): Promise<void> {
  const { workflow } = await connect(options).request<{ workflow: WorkflowDetails | null }>(documents.workflow, {
    name,
    version: options.version,
  })
  if (workflow === null) throw workflowNotFound(name, options.version)
  if (options.json) return screen.json(workflow)
  for (const line of workflowLines(workflow, screen)) await screen.line(line)
}

const workflowNotFound = (name: string, version: number | undefined) =>
  version === undefined
    ? new CliError(exitCodes.notFound, `No workflow ${name} is defined.`, 'See `runwarden workflow ls`.')
    : new CliError(
        exitCodes.notFound,
        `No version ${version} of a workflow ${name} is defined.`,
        `See \`runwarden workflow show ${name}\`.`,
      )
