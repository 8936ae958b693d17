import { resolve } from 'node:path'
import { type Command, Option } from 'commander'
import type { CliContext } from './context.ts'
import { collect, parseBytes, parsePair, parseWholeNumber } from './option-values.ts'
import { type PolicyOptions, policyInput, withPolicy } from './policy-options.ts'

type Pair = { name: string; value: string }

export type LaunchOptions = PolicyOptions & {
  cwd?: string
  temporary?: true
  repository?: string
  branch?: string
  env?: Pair[]
  secretEnv?: string[]
  runAs?: string
  prompt?: string
  label?: Pair[]
  limitMemory?: number
  limitPids?: number
  limitCpu?: number
  limitFiles?: number
  requireLimits?: true
}

/** The options of a command that says how runs are launched. @param place where they work when nothing is said of it */
export const withLaunch = (command: Command, place: string) =>
  withPolicy(
    command
      .option('--cwd <dir>', `existing directory to work in; it is never removed (default: ${place})`)
      .addOption(new Option('--temporary', 'work in a new, empty directory').conflicts('cwd'))
      .addOption(
        new Option(
          '--repository <dir>',
          'work in a new git worktree of this repository (default with --branch: the current one)',
        ).conflicts(['cwd', 'temporary']),
      )
      .addOption(
        new Option(
          '--branch <name>',
          'branch of the worktree; made where it is missing (default: runwarden/ and the run id)',
        ).conflicts(['cwd', 'temporary']),
      )
      .option(
        '--env <NAME=value>',
        'a variable for the run; recorded, so nothing secret (repeatable)',
        collect(parsePair),
      )
      .option(
        '--secret-env <NAME>',
        'pass this variable of the server on; its value is stored nowhere (repeatable)',
        collect(String),
      )
      .option('--run-as <account>', 'account to run under')
      .option('--prompt <text>', 'reaches the run as RUNWARDEN_PROMPT')
      .option('--limit-memory <size>', 'memory, such as 2GiB or 500MB', parseBytes)
      .option('--limit-pids <n>', 'live processes and threads', parseWholeNumber(2, 4_194_304))
      .option('--limit-cpu <percent>', 'per cent of one core: 150 is one and a half', parseWholeNumber(1, 102_400))
      .option('--limit-files <n>', 'open files of each process', parseWholeNumber(16, 1_048_576))
      .option('--require-limits', 'start it only where all of its limits can be enforced')
      .option('--label <name=value>', 'a label to find it by (repeatable)', collect(parsePair)),
  )

/** As the API takes it; undefined: nothing was said of it. */
export function launchInput({ deps }: CliContext, options: LaunchOptions) {
  const { env, secretEnv, runAs, prompt, label } = options
  return {
    workspace: workspaceInput(deps.cwd, options),
    env,
    secretEnv,
    runAs,
    prompt,
    labels: label,
    limits: limitsInput(options),
    policy: policyInput(options),
  }
}

function limitsInput({ limitMemory, limitPids, limitCpu, limitFiles, requireLimits }: LaunchOptions) {
  const limits = { memoryBytes: limitMemory, pids: limitPids, cpuPercent: limitCpu, openFiles: limitFiles }
  const isSaid = requireLimits !== undefined || Object.values(limits).some((limit) => limit !== undefined)
  return isSaid ? { ...limits, required: requireLimits } : undefined
}

function workspaceInput(here: string, { cwd, temporary, repository, branch }: LaunchOptions) {
  if (repository !== undefined || branch !== undefined) {
    return { kind: 'GIT_WORKTREE', repository: resolve(here, repository ?? '.'), branch }
  }
  if (temporary) return { kind: 'TEMPORARY' }
  return cwd === undefined ? undefined : { kind: 'EXISTING', path: resolve(here, cwd) }
}
