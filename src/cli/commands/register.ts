import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { Problem, RunDetails } from '../answers.ts'
import { type CliContext, withExamples, withJson, withServer } from '../context.ts'
import { documents } from '../documents.ts'
import type { ServerOptions } from '../locate.ts'
import { parseWholeNumber } from '../option-values.ts'
import { type PolicyOptions, policyInput, withPolicy } from '../policy-options.ts'
import { failureOf, isAnswer } from '../problems.ts'

type Options = ServerOptions & PolicyOptions & { runId?: string; workspace?: string; workflow?: string; json?: true }
type RegisterAnswer = { __typename: 'RegisterProcessAnswer'; run: RunDetails }

export function addRegister(program: Command, context: CliContext): void {
  const command = program
    .command('register')
    .description('Supervise a process that something else started, and print the id of its run.')
    .argument('<pid>', 'process id on the host of the server', parseWholeNumber(2, 2 ** 22))
    .option('--run-id <id>', 'unused id to give it (default: a new one)')
    .option('--workspace <dir>', 'directory that it works in; it is never removed')
    .option('--workflow <name>', 'name under which runs like this are found')
    .action((pid: number, options: Options) => register(context, pid, options))
  withExamples(withJson(withServer(withPolicy(command))), [
    ['runwarden register 4242 --workflow BRAIN', 'it can now be watched and killed like any other run'],
  ])
}

async function register({ deps, screen, connect }: CliContext, pid: number, options: Options): Promise<void> {
  const { runId, workspace, workflow } = options
  const workspacePath = workspace === undefined ? undefined : resolve(deps.cwd, workspace)
  const input = { pid, runId, workspacePath, workflow, policy: policyInput(options) }
  const { registerProcess } = await connect(options).request<{ registerProcess: RegisterAnswer | Problem }>(
    documents.registerProcess,
    { input },
  )
  if (!isAnswer<RegisterAnswer>(registerProcess, 'RegisterProcessAnswer')) throw failureOf(registerProcess)
  if (options.json) return screen.json(registerProcess.run)
  await screen.line(registerProcess.run.id)
}
