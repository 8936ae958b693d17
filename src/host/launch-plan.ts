import { spawn } from 'node:child_process'
import { chownSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { HostId, RunId } from '../domain/ids.ts'
import type { LaunchSpec } from '../domain/launch.ts'
import { type Account, asAccount, findAccount, ownAccount } from './accounts.ts'
import { cleanPath, environmentOf, wrapped } from './environment.ts'
import { isDiskFull } from './journal.ts'
import { type LimitingHost, type LimitPlan, planLimits, unenforceable } from './limit-plan.ts'
import { makeSlot, type RunPaths } from './run-directory.ts'
import { makeWorktree, type WorktreeFailure, type WorktreeOptions } from './workspace/worktree.ts'

export type LaunchFailureCode =
  | 'EXECUTABLE_NOT_FOUND'
  | 'WORKSPACE_MISSING'
  | 'WORKSPACE_UNREADABLE'
  | 'WORKSPACE_NOT_A_DIRECTORY'
  | 'ACCOUNT_UNKNOWN'
  | 'ACCOUNT_FORBIDDEN'
  | WorktreeFailure['code']
  | 'SECRET_MISSING'
  | 'DISK_FULL'
  | 'SPAWN_FAILED'
  /** It asked to be launched only with its limits. */
  | 'LIMIT_UNAVAILABLE'
  | 'LIMIT_REFUSED'

export type LaunchFailure = { code: LaunchFailureCode; message: string }

/** Everything a shim needs to launch the run. */
export type LaunchPlan = {
  argv: string[]
  environment: Record<string, string>
  workspace: string
  limits: LimitPlan
  /** Another account than the host's own. */
  account: Account | undefined
}

export type PlanOptions = {
  runId: RunId
  hostId: HostId
  launch: LaunchSpec
  paths: RunPaths
  forbiddenAccounts: readonly string[]
  /** On the runs' PATH, behind everything else; undefined: nothing of ours is. */
  commands: string | undefined
  environment: NodeJS.ProcessEnv
  limiting: LimitingHost
} & Pick<WorktreeOptions, 'signal' | 'isBeingCleaned' | 'crashPoint'>

const script = (name: string) => readFileSync(join(import.meta.dirname, name), 'utf8')
const [enterScript, checkScript] = [script('enter.sh'), script('check.sh')]

export const workspaceOf = (launch: LaunchSpec, paths: RunPaths) =>
  launch.workspace.kind === 'EXISTING' ? launch.workspace.path : paths.workspace

/** Makes what the run needs on the disk and looks whether it can start. Doing it again changes nothing. */
export async function planLaunch(options: PlanOptions): Promise<LaunchPlan | LaunchFailure> {
  const { launch, paths } = options
  const account = chooseAccount(launch.runAs, options.forbiddenAccounts)
  if ('code' in account) return account
  const workspace = workspaceOf(launch, paths)
  const other = launch.runAs === undefined ? undefined : account
  const limits = planLimits(launch.limits, options.limiting, other !== undefined && !isOurs(account))
  const unlimited = unenforceable(launch.limits, limits)
  if (unlimited !== undefined) return unlimited
  const environment = environmentOf(launch, { ...options, account, workspace }, options.environment)
  if (!environment.ok) {
    return failure(
      'SECRET_MISSING',
      `${environment.missing} is named in secretEnv, but the host's own environment has no such variable. Set it where Runwarden is started.`,
    )
  }
  const unusable = makeRoom(launch, paths, other) ?? (await worktree(options, other))
  if (unusable !== undefined) return unusable
  const path = environment.variables.PATH ?? cleanPath
  const problem = await check(other, workspace, paths.io, path, launch.command[0] as string)
  if (problem !== undefined) return problem
  const enter = [...limits.prefix, '/bin/sh', '-c', enterScript, 'sh', workspace, ...launch.command]
  return {
    argv: other === undefined ? enter : [...asAccount(other), ...enter],
    environment: wrapped(environment.variables),
    workspace,
    limits,
    account: other,
  }
}

/** No limit by account can bound a run that shares it with Runwarden; root is bound by none. */
const isOurs = ({ uid }: Account) => uid === 0 || uid === process.getuid?.()

const failure = (code: LaunchFailureCode, message: string): LaunchFailure => ({ code, message: message.slice(0, 2000) })

function chooseAccount(runAs: string | undefined, forbidden: readonly string[]): Account | LaunchFailure {
  if (runAs === undefined) return ownAccount()
  if (forbidden.includes(runAs)) {
    return failure('ACCOUNT_FORBIDDEN', `runAs "${runAs}": that account owns Runwarden's database; choose another.`)
  }
  if (process.getuid?.() !== 0) {
    return failure('ACCOUNT_FORBIDDEN', `runAs "${runAs}" needs a host that runs as root; leave runAs out.`)
  }
  return findAccount(runAs) ?? failure('ACCOUNT_UNKNOWN', `runAs "${runAs}": this machine has no such account.`)
}

/** Directories and slots. The slots are what a full disk would otherwise refuse when the run ends. */
function makeRoom(launch: LaunchSpec, paths: RunPaths, account: Account | undefined): LaunchFailure | undefined {
  try {
    for (const directory of [paths.io, paths.temporary]) makeOwned(directory, account)
    if (launch.workspace.kind !== 'EXISTING') makeOwned(paths.workspace, account)
    for (const slot of [paths.root, paths.shim, paths.exit]) makeSlot(slot)
    return undefined
  } catch (error) {
    const { message } = error as Error
    return failure(isDiskFull(error) ? 'DISK_FULL' : 'SPAWN_FAILED', `The run's directory cannot be made: ${message}`)
  }
}

async function worktree(options: PlanOptions, account: Account | undefined): Promise<LaunchFailure | undefined> {
  const { workspace } = options.launch
  if (workspace.kind !== 'GIT_WORKTREE') return undefined
  const problem = await makeWorktree({ ...options, workspace, account })
  return problem && failure(problem.code, problem.message)
}

function makeOwned(directory: string, account: Account | undefined): void {
  try {
    mkdirSync(directory, { mode: 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  if (account !== undefined) chownSync(directory, account.uid, account.gid)
}

/** Asked as the run's account itself: the kernel knows about groups, access lists and mounts. */
async function check(
  account: Account | undefined,
  workspace: string,
  io: string,
  path: string,
  executable: string,
): Promise<LaunchFailure | undefined> {
  const argv = ['/bin/sh', '-c', checkScript, 'sh', workspace, io, path, executable]
  const verdict = await exitStatus(account === undefined ? argv : [...asAccount(account), ...argv])
  const who = (account ?? ownAccount()).name
  switch (verdict) {
    case 0:
      return undefined
    case 10:
      return failure('WORKSPACE_UNREADABLE', `The account ${who} cannot enter and read the workspace ${workspace}.`)
    case 11:
      return failure('EXECUTABLE_NOT_FOUND', `There is no executable "${executable}" in ${workspace} or on ${path}.`)
    case 12:
      return failure('EXECUTABLE_NOT_FOUND', `"${executable}" is a directory.`)
    case 13:
      return failure('EXECUTABLE_NOT_FOUND', `The account ${who} may not execute "${executable}" (chmod +x?).`)
    case 14:
      return failure('WORKSPACE_UNREADABLE', `The account ${who} cannot reach ${io}, the run's own directory.`)
    case 15:
      return failure('WORKSPACE_MISSING', `The workspace ${workspace} does not exist on this host.`)
    case 16:
      return failure('WORKSPACE_NOT_A_DIRECTORY', `The workspace ${workspace} is not a directory.`)
    case 17:
      return failure('WORKSPACE_NOT_A_DIRECTORY', `The workspace ${workspace} leads through a file.`)
    case 'silent':
      return failure(
        'WORKSPACE_UNREADABLE',
        `The workspace ${workspace} did not answer within ${checkTimeoutMs / 1000} s: its file system may hang.`,
      )
    default:
      return failure('SPAWN_FAILED', `The launch could not be checked as ${who}: ${verdict}.`)
  }
}

const checkTimeoutMs = 5_000

/** 'silent': nothing was heard of it in time, and it may not even die of SIGKILL. */
function exitStatus(argv: string[]): Promise<number | string> {
  return new Promise((resolve) => {
    const [command, ...args] = argv as [string, ...string[]]
    const child = spawn(command, args, { stdio: 'ignore', cwd: '/', env: { PATH: cleanPath } })
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      child.unref()
      resolve('silent')
    }, checkTimeoutMs)
    const settle = (verdict: number | string) => {
      clearTimeout(timer)
      resolve(verdict)
    }
    child.once('error', (error) => settle(error.message))
    child.once('close', (status, signal) => settle(status ?? `ended by ${signal}`))
  })
}
