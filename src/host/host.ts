import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { DesiredRun, EmergencyKill, EmergencyKillOutcome, HostLink, RunEnd } from '../domain/host-link.ts'
import { type HostId, hostIdSchema, type RunId, runIdSchema } from '../domain/ids.ts'
import { Bell } from './bell.ts'
import { openCgroupBase, removeCgroupBase } from './cgroup.ts'
import { makeCommands } from './commands-on-path.ts'
import { watchDisks } from './disk-watch.ts'
import { endOnDisk, hasEnded } from './emergency.ts'
import { factFeed } from './fact-feed.ts'
import type { HostOptions } from './host-options.ts'
import { reportOf } from './host-report.ts'
import { inspectProcess } from './inspect.ts'
import { isDiskFull } from './journal.ts'
import { openLastLook } from './last-look.ts'
import { launchOfProcess } from './launch-of-process.ts'
import { limitingHost } from './limit-plan.ts'
import { steadyClocks } from './looks.ts'
import { claimForOthers } from './other-runs.ts'
import { ProcessReader } from './process-table.ts'
import { Run } from './run.ts'
import { factLogOptions, type RunContext } from './run-context.ts'
import { makeDirectory, readJson, runPaths, writeAtomically } from './run-directory.ts'
import { readOutputs } from './run-outputs.ts'
import { sampleRegularly } from './sampling.ts'
import { Slots } from './slots.ts'
import { findReapers, makeSurroundings } from './surroundings.ts'
import type { Owners } from './tree.ts'
import { applyRetentionRegularly } from './workspace/retention.ts'

export type Host = HostLink & {
  /** Goes on with all runs on the disk. */
  start(): Promise<void>
  /** Stops supervising; runs live on. */
  close(): Promise<void>
}

/** Each fact rings; this is for the case that it was not heard. */
const endPollMs = 1_000

/**
 * Opens the host of a directory: who it is, and what this machine lets it do. Nothing is supervised before `start`.
 * @throws the file system's error when the directory cannot be made or read
 */
export async function createHost(options: HostOptions): Promise<Host> {
  const { hostDirectory, log, sampleIntervalMs = 5_000, clock = () => new Date() } = options
  // Runs of other accounts pass through on their way to their own directories.
  for (const name of ['', 'runs', 'workspaces']) await makeDirectory(join(hostDirectory, name), 0o711)
  const hostId = await readHostId(hostDirectory, options.hostId)
  const reader = new ProcessReader(hostId)
  const protectedProcesses = options.protectedProcesses ?? (() => [])
  const closing = new AbortController()
  const signal = options.signal === undefined ? closing.signal : AbortSignal.any([closing.signal, options.signal])
  const cgroups = options.cgroups === 'off' ? turnedOff : await openCgroupBase(hostDirectory)
  const limiting = limitingHost(cgroups.ok ? cgroups.controllers : undefined)
  const runs = new Map<RunId, Run>()
  const lives = new Map<RunId, Promise<void>>()
  const opening = new Map<RunId, Promise<unknown>>()
  const owners: Owners = new Map()
  const slots = new Slots(options.capacity)
  const factBell = new Bell()
  const lastLook = await openLastLook(hostDirectory, log)
  const shims = () => [...runs.values()].flatMap(({ shim }) => shim ?? [])
  const context: RunContext = {
    hostId,
    hostDirectory,
    cgroups: cgroups.ok ? cgroups : null,
    limiting,
    slots,
    owners,
    surroundings: makeSurroundings({ protectedProcesses, shims, reapers: await findReapers() }),
    readTable: () => reader.read(),
    forbiddenAccounts: options.forbiddenAccounts ?? [],
    commands: options.cli && makeCommands(hostDirectory, options.cli),
    environment: options.environment ?? process.env,
    heartbeatMaxIntervalMs: options.heartbeatMaxIntervalMs ?? 60_000,
    outputCapBytes: options.outputCapBytes ?? 64 * 1024 * 1024,
    salvageMaxBytes: options.salvageMaxBytes ?? 256 * 1024 * 1024,
    isBeingCleaned: (runId) => runs.get(runId)?.isOver === true && !runs.get(runId)?.facts.has('RunCleaned'),
    looking: { clock, steady: options.steady ?? steadyClocks, intervalMs: sampleIntervalMs, before: lastLook.before },
    clock,
    log,
    signal,
    onFact: (isUrgent) => (isUrgent ? factBell.ring() : factBell.ringSoon()),
    crashPoint: options.crashPoint ?? (() => {}),
  }
  const outputs = readOutputs(context, (runId) => runs.get(runId))
  const live = () => [...runs.values()].filter(({ mayLive }) => mayLive)
  let retaining: Promise<void> | undefined
  const disks = watchDisks({ places: options.diskPlaces ?? [], intervalMs: sampleIntervalMs, clock, signal })
  const sampling = sampleRegularly({ live, intervalMs: sampleIntervalMs, lastLook, reader, ...context })

  /**
   * Opens the run and lets it live; what fails there is for the operator: the run stays on the disk as it is.
   * @param first done before anything else happens to it
   */
  async function begin<Result>(desired: DesiredRun, first: (run: Run) => Promise<Result>): Promise<Result> {
    const run = await Run.open(desired, context)
    const result = await first(run)
    runs.set(desired.runId, run)
    factBell.ring()
    lives.set(desired.runId, supervise(run))
    return result
  }

  /** What fails is said and tried again: a life goes on from where its journals say that it stands. */
  async function supervise(run: Run): Promise<void> {
    const bell = new Bell()
    for (let pauseMs = 1_000; !signal.aborted; pauseMs = Math.min(pauseMs * 2, 30_000)) {
      try {
        await run.live()
        return finishWhenAcknowledged(run)
      } catch (error) {
        log.error({ err: error, runId: run.runId }, 'supervision of a run failed; trying again')
        await bell.wait(pauseMs, signal)
      }
    }
  }

  function finishWhenAcknowledged(run: Run): void {
    if (!run.facts.has('RunCleaned') || !run.facts.allAcknowledged || signal.aborted) return
    if (runs.get(run.runId) !== run) return
    try {
      run.finish()
    } catch (error) {
      // Offered once more after a restart, and finished then.
      log.warn({ err: error, runId: run.runId }, 'the end of a run could not be noted on the disk')
    }
    runs.delete(run.runId)
    lives.delete(run.runId)
    void run.close()
  }

  async function want(desired: DesiredRun): Promise<void> {
    const paths = runPaths(hostDirectory, runIdSchema.parse(desired.runId))
    for (let busy = opening.get(desired.runId); busy; busy = opening.get(desired.runId)) await busy
    const known = runs.get(desired.runId)
    if (known !== undefined) return known.want(desired)
    if (existsSync(paths.finished)) return
    await alone(desired.runId, openNew(desired))
  }

  /** Whoever wants to open the same run meanwhile waits for this. */
  function alone<Result>(runId: RunId, open: Promise<Result>): Promise<Result> {
    const done = open.finally(() => opening.delete(runId))
    opening.set(runId, done)
    return done
  }

  async function emergencyKill(kill: EmergencyKill): Promise<EmergencyKillOutcome | undefined> {
    const { finished } = runPaths(hostDirectory, runIdSchema.parse(kill.runId))
    for (let busy = opening.get(kill.runId); busy; busy = opening.get(kill.runId)) await busy
    const known = runs.get(kill.runId)
    if (known !== undefined) return known.emergency.request(kill)
    return existsSync(finished) ? 'over' : alone(kill.runId, openToKill(kill))
  }

  /** A host that was not started opens this one run, to end it. */
  async function openToKill(kill: EmergencyKill): Promise<EmergencyKillOutcome | undefined> {
    const desired = await readJson<DesiredRun>(runPaths(hostDirectory, kill.runId).desired)
    if (desired === undefined) return undefined
    await claimForOthers(hostDirectory, kill.runId, owners)
    return begin(desired, ({ emergency }) => emergency.request(kill))
  }

  async function awaitEnd(runId: RunId, cleaned: boolean, waiting: AbortSignal): Promise<RunEnd | undefined> {
    const until = AbortSignal.any([waiting, signal])
    const { finished } = runPaths(hostDirectory, runIdSchema.parse(runId))
    for (;;) {
      const run = runs.get(runId)
      if (run === undefined && !existsSync(finished)) return undefined
      const end = run?.emergency.end ?? (await endOnDisk(factLogOptions({ runId, factSequence: 0 }, context)))
      if (hasEnded(end, cleaned) || until.aborted) return end
      await factBell.wait(endPollMs, until)
    }
  }

  async function openNew(desired: DesiredRun): Promise<void> {
    const paths = runPaths(hostDirectory, desired.runId)
    try {
      await makeDirectory(paths.directory, 0o711)
      await writeAtomically(paths.desired, JSON.stringify(desired))
    } catch (error) {
      // A launch then fails with its own words, and the store, which keeps the wish, is told.
      if (!isDiskFull(error) || desired.work.kind !== 'launch') throw error
      log.warn({ err: error, runId: desired.runId }, 'the disk is full; the run cannot be kept on it')
    }
    context.crashPoint('after desired')
    await begin(desired, async () => {})
  }

  async function start(): Promise<void> {
    const { retention } = options
    if (retention !== undefined) retaining = applyRetentionRegularly({ ...context, retention })
    for (const name of await readdir(join(hostDirectory, 'runs'))) {
      const paths = runPaths(hostDirectory, name)
      if (runs.has(name) || !runIdSchema.safeParse(name).success || existsSync(paths.finished)) continue
      const desired = await readJson<DesiredRun>(paths.desired)
      // Without it the wish was never confirmed, and will be repeated.
      if (desired !== undefined) await want(desired)
    }
  }

  async function close(): Promise<void> {
    closing.abort()
    await Promise.allSettled([...lives.values(), ...opening.values(), sampling, retaining, disks.done])
    await Promise.all([...runs.values()].map((run) => run.close())).finally(() => reader.rest())
    if (cgroups.ok) removeCgroupBase(cgroups.base)
  }

  return {
    hostId,
    start,
    close,
    want,
    emergencyKill,
    awaitEnd,
    ...outputs,
    async known() {
      return [...runs.keys()]
    },
    facts(ending) {
      const logs = function* () {
        for (const [runId, run] of runs) yield [runId, run.facts] as const
      }
      return factFeed(logs, factBell, AbortSignal.any([ending, signal]))
    },
    async acknowledge(runId, sequence) {
      const run = runs.get(runId)
      if (run === undefined) return
      await run.facts.acknowledge(sequence).catch((error) => {
        // Its facts are offered once more after a restart, which changes nothing.
        log.warn({ err: error, runId }, 'an acknowledgement could not be kept on the disk')
      })
      finishWhenAcknowledged(run)
    },
    async inspect(pid) {
      const table = await reader.read()
      for (const run of runs.values()) run.claim(table)
      const found = inspectProcess(pid, { table, owners, shims: shims(), protectedProcesses: protectedProcesses() })
      return found.ok ? { ...found, launch: launchOfProcess(found.root) } : found
    },
    async sampled(runId) {
      return runs.get(runId)?.sampled
    },
    async openSections(runId) {
      return runs.get(runId)?.openSections?.()
    },
    async report() {
      const failures = [...runs.values()].flatMap(({ journalFailure, runId }) =>
        journalFailure === undefined ? [] : `${runId}: ${journalFailure.message}`,
      )
      return reportOf({ hostId, cgroups, limiting, slots, failures, disks: disks.watch.disks })
    },
  }
}

const turnedOff = { ok: false, why: 'cgroups are turned off' } as const

async function readHostId(hostDirectory: string, wanted: HostId | undefined): Promise<HostId> {
  const path = join(hostDirectory, 'host.json')
  const known = await readJson<{ hostId: HostId }>(path)
  if (known !== undefined) return hostIdSchema.parse(known.hostId)
  const hostId = hostIdSchema.parse(wanted ?? `host_${randomBytes(6).toString('hex')}`)
  await writeAtomically(path, JSON.stringify({ hostId }))
  return hostId
}
