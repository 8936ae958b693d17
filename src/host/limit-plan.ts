import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type LimitName, type LimitReport, type ResourceLimits, requestedLimits } from '../domain/resource-limits.ts'
import { type Controllers, controllerFiles } from './controllers.ts'
import { cleanPath } from './environment.ts'
import type { LaunchFailure } from './launch-plan.ts'

/** How the limits of one run are enforced: what its cgroup is told, and what its processes are started under. */
export type LimitPlan = {
  /** undefined: none was asked for. */
  reports: LimitReport[] | undefined
  /** Name and content, in the run's cgroup. */
  cgroupFiles: [name: string, content: string][]
  /** argv in front of the run's command. */
  prefix: string[]
}

export type LimitingHost = {
  /** undefined: the run gets no cgroup. */
  controllers: Controllers | undefined
  /** Where prlimit is; undefined: nowhere. */
  prlimit: string | undefined
  /** RLIMIT_NOFILE of this process, which no run gets above. */
  openFilesMax: number
}

type Enforcement = Pick<LimitReport, 'enforcedBy' | 'detail'> & { file?: [string, string]; option?: string }

/** What this machine offers, as found now. */
export function limitingHost(controllers: Controllers | undefined): LimitingHost {
  const hard = /^Max open files +\d+ +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1]
  return {
    controllers,
    prlimit: cleanPath
      .split(':')
      .map((directory) => join(directory, 'prlimit'))
      .find((path) => existsSync(path)),
    openFilesMax: hard === undefined ? Number.POSITIVE_INFINITY : Number(hard),
  }
}

/** @param ownAccount whether the run has an account that is not the host agent's own */
export function planLimits(limits: ResourceLimits | undefined, host: LimitingHost, ownAccount: boolean): LimitPlan {
  const planned = requestedLimits(limits).map(({ limit, requested }) => {
    const enforcement = enforce(limit, requested, host, ownAccount)
    return { report: { limit, requested, ...said(enforcement) }, ...enforcement }
  })
  const options = planned.flatMap(({ option }) => option ?? [])
  return {
    reports: planned.length === 0 ? undefined : planned.map(({ report }) => report),
    cgroupFiles: planned.flatMap(({ file }) => (file === undefined ? [] : [file])),
    prefix: options.length === 0 || host.prlimit === undefined ? [] : [host.prlimit, ...options, '--'],
  }
}

const said = ({ enforcedBy, detail }: Enforcement) => ({ enforcedBy, detail: detail.slice(0, 500) })

/** What a limit of each kind would be enforced by, for people and for `runwarden doctor`. */
export const limitAbilities = (host: LimitingHost): Record<LimitName, Pick<LimitReport, 'enforcedBy' | 'detail'>> => ({
  memory: said(enforce('memory', 2 ** 30, host, true)),
  pids: said(enforce('pids', 100, host, true)),
  cpu: said(enforce('cpu', 100, host, true)),
  openFiles: said(enforce('openFiles', 64, host, true)),
})

function enforce(limit: LimitName, requested: number, host: LimitingHost, ownAccount: boolean): Enforcement {
  if (limit === 'openFiles') return openFiles(requested, host)
  const why = host.controllers === undefined ? 'runs have no cgroup here' : host.controllers[limit]
  if (why === null) return byCgroup(limit, requested)
  if (limit === 'memory') return memoryOfEach(requested, why, host)
  if (limit === 'pids') return processesOfAccount(requested, why, host, ownAccount)
  return none(`${why}, and no rlimit bounds a share of the CPU`)
}

const cpuPeriodUs = 100_000

function byCgroup(limit: keyof Controllers, requested: number): Enforcement {
  const name = controllerFiles[limit]
  const content = limit === 'cpu' ? `${Math.round((requested / 100) * cpuPeriodUs)} ${cpuPeriodUs}` : `${requested}`
  return { enforcedBy: 'cgroup', detail: `of the whole tree, by ${name}`, file: [name, content] }
}

/**
 * Not RLIMIT_AS: runtimes such as Node.js, Go and the JVM reserve far more addresses than they ever use, and would not
 * even start. RLIMIT_DATA counts what is private and writable.
 */
function memoryOfEach(requested: number, why: string, { prlimit }: LimitingHost): Enforcement {
  if (prlimit === undefined) return none(`${why}, and there is no prlimit (util-linux)`)
  const detail = `of each process by itself, not of them together: private writable memory (RLIMIT_DATA), since ${why}. Memory that is shared, and files in a tmpfs, do not count`
  return { enforcedBy: 'rlimit', detail, option: `--data=${requested}:${requested}` }
}

/** RLIMIT_NPROC counts all that an account has on the machine, and none of root's. */
function processesOfAccount(requested: number, why: string, { prlimit }: LimitingHost, own: boolean): Enforcement {
  if (!own)
    return none(
      `${why}, and RLIMIT_NPROC would count all processes of Runwarden's own account; give the run one of its own (runAs)`,
    )
  if (prlimit === undefined) return none(`${why}, and there is no prlimit (util-linux)`)
  const detail = `all processes of the run's account together, other runs' too (RLIMIT_NPROC), since ${why}`
  return { enforcedBy: 'rlimit', detail, option: `--nproc=${requested}:${requested}` }
}

function openFiles(requested: number, { prlimit, openFilesMax }: LimitingHost): Enforcement {
  if (requested >= openFilesMax) {
    return {
      enforcedBy: 'rlimit',
      detail: `of each process; already no more than ${openFilesMax}, as Runwarden itself`,
    }
  }
  if (prlimit === undefined) return none('there is no prlimit (util-linux)')
  return {
    enforcedBy: 'rlimit',
    detail: 'of each process (RLIMIT_NOFILE)',
    option: `--nofile=${requested}:${requested}`,
  }
}

/** Before anybody is in it. @returns why the kernel would not have it: a run is not launched without */
export function limitCgroup(cgroup: string, files: LimitPlan['cgroupFiles']): LaunchFailure | undefined {
  for (const [name, content] of files) {
    try {
      writeFileSync(join(cgroup, name), content, { flag: 'r+' })
    } catch (error) {
      return { code: 'LIMIT_REFUSED', message: `The limit ${name} ${content} was refused: ${(error as Error).message}` }
    }
  }
  return undefined
}

/** Of a run that is not to be launched without its limits. */
export function unenforceable(limits: ResourceLimits | undefined, { reports }: LimitPlan): LaunchFailure | undefined {
  const missing = (reports ?? []).filter(({ enforcedBy }) => enforcedBy === 'none')
  if (limits?.required !== true || missing.length === 0) return undefined
  const what = missing.map(({ limit, detail }) => `${limit} (${detail})`).join('; ')
  return {
    code: 'LIMIT_UNAVAILABLE',
    message: `Its limits are required, and this host cannot enforce ${what}.`.slice(0, 2000),
  }
}

const none = (detail: string): Enforcement => ({ enforcedBy: 'none', detail })
