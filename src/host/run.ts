import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DesiredRun, Sample } from '../domain/host-link.ts'
import type { RunId } from '../domain/ids.ts'
import type { ProcessIdentity } from '../domain/process-identity.ts'
import { machineIdentity } from '../os/process-identity.ts'
import type { Bell } from './bell.ts'
import { Cgroup } from './cgroup.ts'
import { cleanUp } from './cleanup.ts'
import { Emergency } from './emergency.ts'
import type { FactLog } from './fact-log.ts'
import { killTree } from './kill-ladder.ts'
import type { LadderLog } from './ladder-log.ts'
import { attemptLaunch, findEarlierLaunch, type LaunchRecord, recordLaunch, type Started } from './launch.ts'
import { type LaunchFailure, planLaunch } from './launch-plan.ts'
import type { Moment } from './looks.ts'
import { findOpenSections } from './open-sections.ts'
import type { Output } from './output.ts'
import type { Pausing } from './pausing.ts'
import { ageMs, isOfThisMachine, isRunning, type ProcessTable } from './process-table.ts'
import { neverLaunchedReceipt } from './receipt.ts'
import { RootEnd } from './root-exit.ts'
import type { RunContext } from './run-context.ts'
import { type RunPaths, readJson } from './run-directory.ts'
import { type Begun, type Live, openParts, type RunParts } from './run-parts.ts'
import { signalProcess } from './signals.ts'
import { Telemetry } from './telemetry.ts'
import { Tree } from './tree.ts'

/** Nobody tells us of the end of a process that is not ours: it is looked at this often. */
const watchIntervalMs = 500
/** A shim of ours, or a watched file, tells, and so does each look at all processes; this is for the case of neither. */
const slowWatchIntervalMs = 300_000

/**
 * One run's life on this host: launch or adoption, watching, the end of its tree, cleanup. Each step asks the journals
 * whether it was done, so that the same code begins a life and goes on with one that a crash interrupted.
 */
export class Run {
  readonly runId: RunId
  readonly facts: FactLog
  readonly output: Output
  readonly emergency: Emergency
  readonly #desired: DesiredRun
  readonly #paths: RunPaths
  readonly #ladder: LadderLog
  readonly #pausing: Pausing
  readonly #context: RunContext
  readonly #bell: Bell
  #live: Live | undefined
  #shimIsOurs = false
  readonly #rootEnd: RootEnd

  private constructor(desired: DesiredRun, context: RunContext, parts: RunParts) {
    this.runId = desired.runId
    this.#desired = desired
    this.#context = context
    this.facts = parts.facts
    this.output = parts.output
    this.#ladder = parts.ladder
    this.#pausing = parts.pausing
    this.#paths = parts.paths
    this.#bell = parts.bell
    this.#rootEnd = new RootEnd(desired.work.kind, parts.paths.exit, context.clock)
    const { proofDeadlineMs } = desired.leftovers
    this.emergency = new Emergency({ ...parts, proofDeadlineMs, onKill: () => this.#bell.ring() })
  }

  /** Reads what the disk says of the run; nothing happens to it until `live`. */
  static async open(desired: DesiredRun, context: RunContext): Promise<Run> {
    const parts = await openParts(desired, context)
    const run = new Run(desired, context, parts)
    if (desired.kill !== null) await parts.ladder.want(desired.kill)
    await run.emergency.resume()
    await parts.pausing.want(desired.pause)
    return run
  }

  /** Once it is on the disk the kill goes on by itself. A kill that is not stronger than the one before joins it. */
  async want(desired: DesiredRun): Promise<void> {
    if (this.isOver) return
    if (desired.kill !== null && (await this.#ladder.want(desired.kill))) this.#bell.ring()
    await this.#pausing.want(desired.pause)
  }

  /** Nothing of its tree is left, and its output is complete. */
  get isOver(): boolean {
    return this.facts.has('TreeGone') || this.facts.has('LaunchFailed')
  }

  /** The last look at it since this host agent began; undefined once it is over. */
  get sampled(): Sample | undefined {
    return this.isOver ? undefined : this.#live?.telemetry.sampled
  }

  get shim(): ProcessIdentity | null {
    return this.#live?.shim ?? null
  }

  /** Something of it lives, or may. */
  get mayLive(): boolean {
    return this.#live !== undefined && !this.isOver
  }

  get journalFailure(): Error | undefined {
    return this.facts.failure ?? this.#ladder.failure ?? this.#live?.tree.failure
  }

  /** Where it must not be cut off now; undefined: nothing of it lives. */
  get openSections(): Live['openSections'] | undefined {
    return this.isOver ? undefined : this.#live?.openSections
  }

  /** From here to the fact RunCleaned, or until the host closes. */
  async live(): Promise<void> {
    const { slots, signal } = this.#context
    if (!this.isOver && this.#live === undefined) await this.#begin()
    if (this.#live !== undefined && !this.isOver && !signal.aborted) {
      await this.#watch(this.#live)
      if (!signal.aborted) await this.#end(this.#live)
    }
    await this.#live?.telemetry.stop()
    if (signal.aborted || !this.isOver) return
    this.#live?.tree.forget()
    slots.release(this.runId)
    if (!this.facts.has('RunCleaned')) await this.#cleanUp()
    if (!this.facts.has('RunCleaned')) return
    await this.facts.seal()
    await this.#ladder.seal()
  }

  async close(): Promise<void> {
    this.#live?.cgroup?.rest()
    await this.facts.close()
    await this.#ladder.close()
  }

  /** Marks a run of which nothing is left to do. */
  finish(): void {
    writeFileSync(this.#paths.finished, '', { mode: 0o600 })
  }

  /** Makes sure that everybody who is of this run is known to be. */
  claim(table: ProcessTable): void {
    if (!this.isOver) this.#live?.tree.observe(table)
  }

  /** One look at all processes; takes no time of its own beyond that of its members. */
  sample(table: ProcessTable, now: Moment): Promise<void> | undefined {
    if (this.#live === undefined || this.isOver) return undefined
    const { root, cgroup, tree, telemetry } = this.#live
    const members = tree.observe(table)
    if (root !== null && !members.get(root.pid)?.entry.alive) this.#bell.ring()
    this.#pausing.hold(members, cgroup)
    return telemetry.sample(members, now)
  }

  async #begin(): Promise<void> {
    const { work } = this.#desired
    if (work.kind === 'launch') return this.#launch(work)
    const { root, workspacePath } = work
    this.#context.slots.hold(this.runId)
    this.#startWatching({ root, shim: null }, { ...root, cgroup: null })
    const startedAt = new Date(this.#context.clock().getTime() - ageMs(root))
    await this.#started({ attempt: 1, root, shim: null, startedAt, workspacePath })
  }

  async #launch(work: DesiredRun['work'] & { kind: 'launch' }): Promise<void> {
    const { slots, signal } = this.#context
    const record = await readJson<LaunchRecord>(this.#paths.launch)
    if (record === undefined) {
      const isKilled = () => this.#ladder.kill !== null
      const hasPlace = await slots.wait(this.runId, this.#desired.order, this.#bell, isKilled, signal)
      if (signal.aborted) return
      return hasPlace ? this.#attempt(work, 1) : this.#neverLaunched()
    }
    slots.hold(this.runId)
    const earlier = await findEarlierLaunch(this.#paths, record, signal)
    if (signal.aborted) return
    if (earlier.kind === 'none') return this.#attempt(work, earlier.nextAttempt)
    if (earlier.kind === 'started') return this.#adopt(earlier.started, record)
    if (earlier.kind === 'failed') return this.#failed(earlier.failure)
    this.#lost(record)
  }

  async #attempt({ launch }: DesiredRun['work'] & { kind: 'launch' }, attempt: number): Promise<void> {
    const { cgroups, crashPoint, signal } = this.#context
    const [paths, runId] = [this.#paths, this.runId]
    const plan = await planLaunch({ ...this.#context, runId, launch, paths })
    if ('code' in plan) return this.#failed(plan)
    if (signal.aborted) return
    if (this.#ladder.kill !== null) return this.#neverLaunched()
    const cgroup = cgroups === null ? null : join(cgroups.base, `run-${runId.slice('run_'.length)}`)
    const record = await recordLaunch(paths, plan, cgroup)
    if ('code' in record) return this.#failed(record)
    crashPoint('after launch record')
    this.#shimIsOurs = true
    const [onShimExit, shimCgroup] = [() => this.#bell.ring(), cgroups?.shims ?? null]
    const outcome = await attemptLaunch({ paths, record, plan, attempt, shimCgroup, signal, onShimExit })
    crashPoint('after attempt')
    if (signal.aborted) return
    if (outcome.kind === 'failed') return this.#failed(outcome.failure)
    if (outcome.kind === 'lost') return this.#lost(record)
    await this.#adopt(outcome.started, record)
  }

  async #adopt(started: Started, record: LaunchRecord): Promise<void> {
    this.#startWatching(started, record)
    await this.#started({ ...started, limits: record.limits, workspacePath: record.workspace })
  }

  /** Launched once, but nobody recorded what; whatever is found of it is ended. */
  #lost(record: LaunchRecord): void {
    this.#startWatching({ root: null, shim: null }, record)
  }

  #startWatching({ root, shim }: Pick<Live, 'root' | 'shim'>, record: Omit<LaunchRecord, 'workspace'>): void {
    const { owners, surroundings, ...context } = this.#context
    const cgroup = record.cgroup === null ? null : new Cgroup(record.cgroup)
    const marked = this.#desired.work.kind === 'launch'
    const tree = new Tree({
      ...{ runId: this.runId, root, shim, cgroup, marked, owners, surroundings },
      memoryPath: this.#paths.strays,
    })
    const progress = marked ? { path: this.#paths.progress, directory: this.#paths.io, runId: this.runId } : undefined
    const telemetry = new Telemetry({ ...context, facts: this.facts, output: this.output, cgroup, progress })
    // After a boot nothing of the run can live, which is plain to see from here.
    const visible = isOfThisMachine(record) || record.bootId !== machineIdentity().bootId
    const openSections = () => findOpenSections({ tree, cgroup, telemetry, facts: this.facts, ...this.#context })
    this.#live = { root, shim, cgroup, visible, tree, telemetry, openSections }
  }

  /** Says that the run is there: for the first time, or again after this host came back. */
  async #started(started: Begun) {
    const { root, startedAt } = started
    if (!this.facts.has('RunStarted')) {
      const level = this.#level()
      await this.facts.emit([{ type: 'RunStarted', data: { ...started, level, startedAt: startedAt.toISOString() } }])
    } else if (!this.facts.has('ProcessExited') && isRunning(root)) {
      await this.facts.emit([{ type: 'RunAdopted', data: { root } }])
    }
    this.#live?.telemetry.start()
  }

  #level = () => (this.#live?.cgroup == null ? 'process-scan' : 'cgroup-v2')

  /** Until the root has ended or somebody wants it to. */
  async #watch(live: Live): Promise<void> {
    const { root, visible } = live
    const { signal, log } = this.#context
    const watcher = this.#shimIsOurs ? undefined : this.#rootEnd.watch(this.#bell, log)
    const intervalMs = watcher === undefined && !this.#shimIsOurs ? watchIntervalMs : slowWatchIntervalMs
    try {
      while (!signal.aborted && this.#ladder.kill === null && this.#ladder.step('begun') === undefined) {
        if (root === null || this.#rootEnd.of(root) !== undefined || (visible && !isRunning(root))) break
        // Waited for only where there is something to do: a bell that rings meanwhile would not be heard.
        const againMs = this.#pausing.isSettled ? intervalMs : await this.#pausing.step(live)
        await this.#bell.wait(againMs, signal)
      }
    } finally {
      watcher?.close()
    }
    await this.#live?.telemetry.readProgress()
  }

  async #end({ root, shim, cgroup, visible, tree, telemetry, openSections }: Live): Promise<void> {
    const { clock, log, signal, readTable } = this.#context
    await killTree({
      ...{ runId: this.runId, level: this.#level(), root, tree, cgroup, visible, openSections, facts: this.facts },
      ...{ ladder: this.#ladder, leftovers: this.#desired.leftovers, readTable, bell: this.#bell, clock, log, signal },
      rootExit: () => this.#rootEnd.of(root),
      exitMayCome: () => shim !== null && isRunning(shim),
      wakeShim: () => shim !== null && isOfThisMachine(shim) && signalProcess(shim, 'SIGCONT'),
      letGoOn: () => this.#pausing.letGoOn({ tree, cgroup }),
      summary: () => telemetry.summary(),
    })
  }

  async #failed(data: LaunchFailure): Promise<void> {
    await this.facts.emit([{ type: 'LaunchFailed', data }])
  }

  /** Killed while it waited: there is nothing to prove but that no process was ever made. */
  async #neverLaunched(): Promise<void> {
    const at = this.#context.clock().toISOString()
    const level = this.#context.cgroups === null ? 'process-scan' : 'cgroup-v2'
    const receipt = neverLaunchedReceipt(this.runId, level, this.#ladder.kill?.requestedAt ?? at, at)
    const gone = { type: 'TreeGone' as const, data: { receipt } }
    await this.facts.emit([{ type: 'TelemetrySummarised', data: {} }, gone])
  }

  async #cleanUp(): Promise<void> {
    const record = await readJson<LaunchRecord>(this.#paths.launch)
    const recorded = record?.cgroup == null ? null : new Cgroup(record.cgroup)
    // A run may have removed its own directory, and the record with it.
    const cgroup = this.#live?.cgroup ?? recorded
    const [{ work }, paths, facts, bell] = [this.#desired, this.#paths, this.facts, this.#bell]
    await cleanUp({ ...this.#context, work, paths, cgroup, facts, doneSteps: facts.doneSteps, bell })
  }
}
