import type { HostId, RunId } from '../domain/ids.ts'
import type { LaunchSpec } from '../domain/launch.ts'
import type { Account } from './accounts.ts'
import { hostVariable, markerVariable } from './marker.ts'
import type { RunPaths } from './run-directory.ts'

/** Nothing of the server's own PATH, which may be anybody's. */
export const cleanPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

export type Environment = { ok: true; variables: Record<string, string> } | { ok: false; missing: string }

/**
 * The whole environment of a run.
 * @param own the host process's environment: LANG, TZ and the values of `secretEnv` come from it, nothing else
 */
export function environmentOf(
  launch: LaunchSpec,
  run: {
    runId: RunId
    hostId: HostId
    account: Account
    paths: RunPaths
    workspace: string
    commands: string | undefined
  },
  own: NodeJS.ProcessEnv,
): Environment {
  const missing = launch.secretEnv.find((name) => own[name] === undefined)
  if (missing !== undefined) return { ok: false, missing }
  const secrets = launch.secretEnv.map((name) => [name, own[name] as string] as const)
  return {
    ok: true,
    variables: {
      PATH: run.commands === undefined ? cleanPath : `${cleanPath}:${run.commands}`,
      HOME: run.account.home,
      USER: run.account.name,
      ...(own.LANG === undefined ? {} : { LANG: own.LANG }),
      ...(own.TZ === undefined ? {} : { TZ: own.TZ }),
      TMPDIR: run.paths.temporary,
      ...launch.env,
      ...Object.fromEntries(secrets),
      [markerVariable]: run.runId,
      [hostVariable]: run.hostId,
      RUNWARDEN_PROGRESS: run.paths.progress,
      RUNWARDEN_WORKSPACE: run.workspace,
      ...(launch.prompt === undefined ? {} : { RUNWARDEN_PROMPT: launch.prompt }),
    },
  }
}

/** The same for the way through shim.sh, whose environment it must not be; enter.sh gives the names back. */
export function wrapped(variables: Record<string, string>): Record<string, string> {
  const names = Object.keys(variables)
  return {
    PATH: cleanPath,
    RUNWARDEN_ENV: names.join(' '),
    ...Object.fromEntries(names.map((name) => [`RUNWARDEN_ENV_${name}`, variables[name] as string])),
  }
}
