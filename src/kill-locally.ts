import { randomUUID } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { LocalKillOptions, LocalKillResult } from './cli/composed.ts'
import { answers } from './cli/connection.ts'
import { createAuditLog } from './control/audit-log.ts'
import { type AuditSpool, createAuditSpool, leaveBesideSpool } from './control/audit-spool.ts'
import type { RequestContext } from './control/control.ts'
import { delayOrAbort } from './control/delay.ts'
import { type AskedHost, answerOfHost, killWithoutStore } from './control/emergency-kill.ts'
import type { Log } from './control/log.ts'
import type { RequestKill } from './domain/decide.ts'
import type { NewEvent } from './domain/event.ts'
import type { HostLink } from './domain/host-link.ts'
import { runIdSchema } from './domain/ids.ts'
import { StoreUnavailable } from './event-store/event-store.ts'
import { ownAccount } from './host/accounts.ts'
import { createHost } from './host/host.ts'
import { DataDirectoryError, prepareDataDirectory, resolveDataDirectory } from './os/data-directory.ts'
import { type Claim, claimDataDirectory, type Owner } from './os/ownership.ts'
import { isGone, readIdentity } from './os/process-identity.ts'
import { whoServes } from './postgres/postmaster.ts'

export type LocalKillDeps = {
  env: NodeJS.ProcessEnv
  /** What goes wrong beside the kill, for people. */
  warn: (line: string) => void
}

/**
 * An emergency kill without a server: this process owns the data directory for as long as it takes, opens the one run
 * on it and ends it. Nothing else is supervised and nothing is launched. What it did lies on the disk, where the next
 * server finds it; no database is needed.
 */
export async function killLocally(options: LocalKillOptions, deps: LocalKillDeps): Promise<LocalKillResult> {
  try {
    const owned = await becomeOwner(resolveDataDirectory(deps.env, process.getuid?.() ?? -1))
    if ('refusal' in owned) return owned.refusal
    if (deps.env.RUNWARDEN_RUN_ID === options.runId)
      return refuse(owned.directory, insideOf(options.runId), options, deps)
    const claim = await claimSoon(owned.directory, options)
    if (claim === 'served') return { type: 'served' }
    if (!claim.ok) return refuse(owned.directory, heldByOther(owned.directory, claim), options, deps)
    try {
      return await killIn(owned.directory, options, deps)
    } finally {
      await claim.owner.release()
    }
  } catch (error) {
    if (!(error instanceof DataDirectoryError)) throw error
    return { type: 'refused', reason: 'denied', message: error.message }
  }
}

type Refused = Extract<LocalKillResult, { type: 'refused' }>

const insideOf = (runId: string): Refused => ({
  type: 'refused',
  reason: 'denied',
  message: `This command was started inside ${runId} itself, and would die in the middle of the kill.`,
  wayOut: 'Run it from outside of the run.',
})

/** No refusal is silent: whoever owns the directory records it. */
async function refuse(
  directory: string,
  refusal: Refused,
  options: LocalKillOptions,
  { warn }: LocalKillDeps,
): Promise<Refused> {
  const beside = {
    add: (stream: string, event: NewEvent) => leaveBesideSpool(spoolPath(directory), stream, event),
    flush: async () => {},
  }
  try {
    await createAuditLog(noStore, beside, now, async () => {}).denied(requester(), attemptOf(options), refusal.message)
  } catch (error) {
    warn(`This refusal could not be recorded: ${(error as Error).message}`)
  }
  return refusal
}

const spoolPath = (directory: string) => join(directory, 'audit-spool.jsonl')

/**
 * What lies in the directory must go on belonging to its owner, so root becomes that account. It can do no less then
 * than the server could.
 */
async function becomeOwner(path: string): Promise<{ directory: string } | { refusal: Refused }> {
  const found = await statIfThere(path)
  if (found === undefined) return { refusal: noServerOf(`There is no data directory ${path}`) }
  const uid = process.getuid?.()
  if (uid === 0 && found.uid !== 0) {
    process.setgroups?.([found.gid])
    process.setgid?.(found.gid)
    process.setuid?.(found.uid)
  } else if (uid !== found.uid) {
    const message = `The data directory ${path} belongs to uid ${found.uid}; this command runs as uid ${uid}.`
    const wayOut = 'Only its owner, or root, can kill without the server: run this as one of the two.'
    return { refusal: { type: 'refused', reason: 'denied', message, wayOut } }
  }
  if ((await statIfThere(join(path, 'host', 'host.json'))) === undefined)
    return { refusal: noServerOf(`${path} is the data directory of no server`) }
  return { directory: await prepareDataDirectory(path) }
}

async function statIfThere(path: string) {
  try {
    return await stat(path)
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

const noServerOf = (what: string): Refused => ({
  type: 'refused',
  reason: 'not-found',
  message: `${what}: no server of this account has ever run here. Nothing was signalled.`,
  wayOut: 'Name the directory of the server with RUNWARDEN_DATA_DIR.',
})

const claimPauseMs = 100

/** Who holds the directory without serving is just starting, or is such a command as this one, and soon done. */
async function claimSoon(directory: string, { timeoutMs, signal }: LocalKillOptions): Promise<Claim | 'served'> {
  const until = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  for (;;) {
    const claim = await claimDataDirectory(directory)
    if (claim.ok || until.aborted || claim.reason !== 'OWNED') return claim
    if (claim.by?.url !== undefined) return (await answers(claim.by.url)) ? 'served' : claim
    await delayOrAbort(claimPauseMs, until)
  }
}

function heldByOther(directory: string, { by, reason }: Extract<Claim, { ok: false }>): Refused {
  const who = by === undefined ? 'Another Runwarden' : `${by.url ?? 'Another Runwarden'} (pid ${by.identity.pid})`
  const message = `${who} holds the data directory ${directory}, and does not answer. Nothing was signalled.`
  return { type: 'refused', reason: 'unavailable', message, wayOut: wayOutOf(by, reason) }
}

function wayOutOf(by: Owner | undefined, reason: Extract<Claim, { ok: false }>['reason']): string {
  if (reason !== 'OWNED')
    return 'It runs in another namespace (a container?): run this command there. If it is gone for sure, see `runwarden up --take-over`.'
  if (by === undefined) return 'It was just starting for all of the wait. Try again; `runwarden doctor` says who it is.'
  return `Does it hang, stop it with \`runwarden down\` or, in the last resort, \`kill -9 ${by.identity.pid}\` (runs live on), and try again.`
}

async function killIn(directory: string, options: LocalKillOptions, { warn }: LocalKillDeps): Promise<LocalKillResult> {
  const log = warningsOnly(warn)
  const host = await createHost({
    hostDirectory: join(directory, 'host'),
    // Nothing is launched; a run that lives is ended in the cgroup it has.
    capacity: 0,
    cgroups: 'off',
    clock: now,
    log,
    protectedProcesses: () =>
      [readIdentity(process.pid), postmasterOf(directory)].filter((known) => known !== undefined),
  })
  try {
    const asked = await ask(host, createAuditSpool(spoolPath(directory), log), options)
    if (asked === undefined) {
      const message = `There is no run ${options.runId} in the data directory ${directory}. Nothing was signalled.`
      const wayOut = 'Where its server has another data directory, name that with RUNWARDEN_DATA_DIR.'
      return { type: 'refused', reason: 'not-found', message, wayOut }
    }
    const { timeoutMs, signal, cleaned } = options
    const wait = { waitFor: cleaned ? ('CLEANED' as const) : ('KILLED' as const), timeoutMs, signal }
    const { type, receipt, ...answer } = await answerOfHost(host, asked, wait, 'command')
    return { type: 'answer', answer: { __typename: type, ...answer, receipt: receipt && { json: receipt } } }
  } finally {
    await host.close()
  }
}

/** The attempt is in the spool before the host is asked, and its outcome after. undefined: there is no such run. */
async function ask(host: HostLink, spool: AuditSpool, options: LocalKillOptions): Promise<AskedHost | undefined> {
  const { runId, reason, idempotencyKey } = options
  const context = requester()
  const audit = createAuditLog(noStore, spool, now, async () => {})
  return audit.allowed(
    context,
    attemptOf(options),
    async () => {
      const known = runIdSchema.safeParse(runId)
      if (!known.success) return { result: undefined, outcome: 'RunNotFound', detail: 'That is no run id.' }
      const command: RequestKill = { type: 'RequestKill', kind: 'emergency', reason, idempotencyKey }
      const acted = await killWithoutStore({ host, now }, context, known.data, command)
      return { ...acted, result: 'asked' in acted.result ? acted.result.asked : undefined }
    },
    { evenWhileAway: true },
  )
}

const requester = (): RequestContext => ({
  actor: { kind: 'user', id: ownAccount().name },
  correlationId: randomUUID(),
})

const attemptOf = ({ runId, reason, idempotencyKey }: LocalKillOptions) => ({
  ...{ action: 'killRun' as const, target: runId, reason },
  details: { kind: 'emergency', idempotencyKey, withoutServer: true },
})

const now = () => new Date()

const noStore = {
  async append(): Promise<never> {
    throw new StoreUnavailable('No server is running.')
  },
}

/** A server that crashed leaves it behind, and the next one adopts it. */
function postmasterOf(directory: string) {
  const serving = whoServes(join(directory, 'postgres', 'cluster'))
  return serving.state === 'running' ? serving.identity : undefined
}

function warningsOnly(warn: (line: string) => void): Log {
  const say = (fields: object, message: string) => {
    const { err } = fields as { err?: unknown }
    warn(err instanceof Error ? `${message}: ${err.message}` : message)
  }
  return { info() {}, warn: say, error: say }
}
