import { type FSWatcher, watch } from 'node:fs'
import type { FactBody, Sample } from '../domain/host-link.ts'
import type { RunEventData } from '../domain/run-events.ts'
import type { Cgroup } from './cgroup.ts'
import type { Clock, Log } from './clock.ts'
import type { FactLog } from './fact-log.ts'
import { type Looking, Looks, type Moment, momentOf } from './looks.ts'
import type { Member } from './membership.ts'
import type { Output } from './output.ts'
import { backlogBytesMax, mayHaveGrown, readBytesMax, readProgress } from './progress.ts'
import { ResourceUsage } from './resource-usage.ts'

type Heartbeat = RunEventData<'HeartbeatRecorded'>
type Notice = NonNullable<Heartbeat['notices']>[number]

export type TelemetryOptions = {
  facts: FactLog
  output: Output
  cgroup: Cgroup | null
  /** Absent for a registered process, which knows of no such file. */
  progress: { path: string; directory: string; runId: string } | undefined
  heartbeatMaxIntervalMs: number
  looking: Looking
  clock: Clock
  log: Log
}

/** The progress file is read at most this often. */
const progressIntervalMs = 250

/** What is known of a live run besides its being alive: its processes as sampled, and what it says of itself. */
export class Telemetry {
  readonly #options: TelemetryOptions
  readonly #latest: Heartbeat
  #notices: Notice[] = []
  #watcher: FSWatcher | undefined
  #timer: NodeJS.Timeout | undefined
  readonly #looks: Looks
  #reading: Promise<unknown> = Promise.resolve()
  #readings = 0
  readonly #usage: ResourceUsage
  #shown = ''
  #stopped = false
  /** `at`: milliseconds since the epoch. */
  #sampled: { at: number; factSequence: number } | undefined
  /** Summed up: no heartbeat follows the summary. */
  #isSummed = false

  constructor(options: TelemetryOptions) {
    this.#options = options
    const { notices: _said, ...latest } = options.facts.latest('HeartbeatRecorded') ?? {}
    this.#latest = latest
    this.#usage = new ResourceUsage(options.cgroup, latest)
    this.#looks = new Looks(options.facts, options.looking)
  }

  /** Follows the progress file until `stop`. Watching is a nudge; each sample reads the file as well. */
  start(): void {
    const { progress } = this.#options
    if (progress === undefined) return
    try {
      this.#watcher = watch(progress.directory, { persistent: false }, () => this.#schedule())
      this.#watcher.on('error', () => this.#watcher?.close())
    } catch (error) {
      this.#options.log.warn({ err: error }, 'the progress file cannot be watched; it is read with each sample')
    }
    this.#schedule()
  }

  #schedule(): void {
    if (this.#stopped) return
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      void this.readProgress()
    }, progressIntervalMs)
    this.#timer.unref()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#watcher?.close()
    clearTimeout(this.#timer)
    await this.#reading
  }

  /**
   * Reads what the run has said of itself since. Turns and phases are facts of their own; the rest is a heartbeat.
   * @returns false: there may be more than could be taken in
   */
  readProgress(): Promise<boolean> {
    this.#readings += 1
    const read = this.#reading
      .then(() => this.#readProgress())
      .catch((error) => {
        this.#options.log.error({ err: error }, 'the progress file could not be read')
        return false
      })
      .finally(() => {
        this.#readings -= 1
      })
    this.#reading = read
    return read
  }

  /** Nobody reads just now, and there is nothing to read: most runs, at most looks, have nothing to say. */
  #hasNothingToSay(): boolean {
    const { progress, facts } = this.#options
    if (this.#readings > 0 || facts.sections.areOpen) return false
    return progress === undefined || !mayHaveGrown(progress.path, facts.progressPosition)
  }

  async #readProgress(): Promise<boolean> {
    const { progress, facts } = this.#options
    if (this.#isSummed) return true
    await this.#looks.begin()
    if (progress === undefined) return true
    for (let taken = 0; taken < backlogBytesMax; ) {
      const read = readProgress(progress.path, facts.progressPosition)
      if (read === undefined) return this.#noteDeaths(progress.runId)
      if (read.badLine !== undefined) this.#notice('BAD_PROGRESS_LINE', read.badLine)
      if (read.progressPercent !== undefined) this.#latest.progressPercent = read.progressPercent
      if (read.usage !== undefined) this.#latest.usage = { ...this.#latest.usage, ...read.usage }
      const news = [...newTurns(read.turns, facts), ...newPhases(read.phases, facts)]
      const bodies = [...news, ...facts.sections.news(read.sections, progress.runId), this.#heartbeat()]
      // On a full disk nothing is taken as read, and the next sample tries again.
      if (!(await facts.emit(bodies, read.position))) return false
      this.#said()
      if (!read.more) return true
      taken += readBytesMax
    }
    // It writes faster than anybody reads.
    return false
  }

  /** A section ends with the process that was in it, also when the run says nothing more. */
  async #noteDeaths(runId: string): Promise<boolean> {
    const { facts } = this.#options
    const bodies = facts.sections.news([], runId)
    return bodies.length === 0 || facts.emit(bodies)
  }

  /** Said once per run, whatever it is about. */
  #notice(code: string, detail: string): void {
    const { facts } = this.#options
    if (facts.notices.has(code) || this.#notices.some((notice) => notice.code === code)) return
    this.#notices.push({ code, detail: detail.slice(0, 500) })
  }

  /**
   * Takes in one look at the tree; says so when something changed, and at least every `heartbeatMaxIntervalMs`.
   * @returns undefined: nothing is to be said, and nothing to wait for, as with most runs at most looks
   */
  sample(members: Map<number, Member>, now: Moment = momentOf(this.#options.looking)): Promise<void> | undefined {
    if (!this.#hasNothingToSay()) return this.#sampleAll(members, now, this.readProgress())
    const gap = this.#isSummed ? undefined : this.#looks.begin(now)
    if (gap !== undefined) return this.#sampleAll(members, now, gap)
    const due = this.#sampleProcesses(members, now)
    if (due !== undefined) return this.#noteLook(now, due)
    this.#sampled = { at: now.wall, factSequence: this.#options.facts.lastSequence }
    return undefined
  }

  /** @param reading resolves with false where there was more to read than could be taken in */
  async #sampleAll(members: Map<number, Member>, now: Moment, reading: Promise<unknown>): Promise<void> {
    const isRead = (await reading) !== false
    const due = this.#sampleProcesses(members, now)
    // A run whose turns could not be read (the disk is full, say) must not pass for one without.
    if (isRead) await this.#noteLook(now, due)
    else await due
  }

  async #noteLook(now: Moment, due: Promise<void> | undefined): Promise<void> {
    await due
    this.#sampled = { at: now.wall, factSequence: this.#options.facts.lastSequence }
  }

  /** The last look at it that was complete. */
  get sampled(): Sample | undefined {
    const { acknowledged } = this.#options.facts
    return this.#sampled && { ...this.#sampled, at: new Date(this.#sampled.at).toISOString(), acknowledged }
  }

  /** @returns undefined: there is nothing to say */
  #sampleProcesses(members: Map<number, Member>, now: Moment): Promise<void> | undefined {
    let alive = 0
    for (const { entry } of members.values()) if (entry.alive) alive += 1
    this.#latest.processes = alive
    this.#usage.see(members)
    this.#readOutput()
    if (this.#options.output.needsTending) return this.#tendOutput(members, now)
    return this.#beatIfDue(members, now)
  }

  #beatIfDue(members: Map<number, Member>, now: Moment): Promise<void> | undefined {
    if (!(this.#isDue(now) || this.#notices.length > 0 || this.#shown !== this.#significant())) return undefined
    if (!this.#options.facts.acceptsHeartbeats || this.#isSummed) return undefined
    return this.#beat([...members.values()].filter(({ entry }) => entry.alive))
  }

  async #beat(alive: Member[]): Promise<void> {
    Object.assign(this.#latest, this.#usage.read(alive))
    if (await this.#options.facts.emit([this.#heartbeat()])) this.#said()
  }

  async #tendOutput(members: Map<number, Member>, now: Moment): Promise<void> {
    const { output } = this.#options
    await output.tend()
    const gap = output.takeGap()
    if (gap !== undefined) this.#notices.push({ code: 'OUTPUT_GAP', detail: gap })
    this.#readOutput()
    await this.#beatIfDue(members, now)
  }

  #readOutput(): void {
    const { output } = this.#options
    const end = output.look()
    if (end === undefined || end === this.#latest.outputBytes) return
    this.#latest.outputBytes = end
    const line = output.lastLine()
    if (line !== undefined) this.#latest.lastOutput = line
  }

  #heartbeat(): FactBody {
    const { cpuMs } = this.#usage
    if (cpuMs !== undefined) this.#latest.cpuMs = cpuMs
    const notices = this.#notices.length > 0 ? { notices: this.#notices } : {}
    return { type: 'HeartbeatRecorded', data: { ...this.#latest, ...notices } }
  }

  #said(): void {
    this.#notices = []
    this.#shown = this.#significant()
  }

  #significant(): string {
    const { processes, lastOutput, progressPercent, usage } = this.#latest
    return JSON.stringify([processes, lastOutput, progressPercent, usage])
  }

  #isDue(now: Moment): boolean {
    const { facts, heartbeatMaxIntervalMs } = this.#options
    const last = facts.occurredAt('HeartbeatRecorded')
    return last === undefined || now.wall - Date.parse(last) >= heartbeatMaxIntervalMs
  }

  async summary(): Promise<FactBody & { type: 'TelemetrySummarised' }> {
    const { facts } = this.#options
    await this.readProgress()
    this.#isSummed = true
    this.#readOutput()
    const { processes: _processes, rssBytes: _rss, openFiles: _files, notices: _notices, ...latest } = this.#latest
    const lastHeartbeatAt = facts.occurredAt('HeartbeatRecorded')
    const outOfMemory = this.#options.cgroup?.outOfMemory()
    return {
      type: 'TelemetrySummarised',
      data: {
        ...latest,
        ...(this.#options.cgroup?.cpuMs() === undefined ? {} : { cpuMs: this.#options.cgroup.cpuMs() }),
        ...(lastHeartbeatAt === undefined ? {} : { lastHeartbeatAt }),
        ...facts.heartbeats.summary(),
        ...(outOfMemory === undefined ? {} : { outOfMemory }),
      },
    }
  }
}

/** Each turn once, however often it is said; a turn before the last one is no news. */
function newTurns(turns: number[], facts: FactLog): FactBody[] {
  let last = facts.latest('TurnCompleted')?.turn ?? 0
  return turns.flatMap((turn) => {
    if (turn <= last) return []
    last = turn
    return { type: 'TurnCompleted', data: { turn } } as const
  })
}

function newPhases(phases: string[], facts: FactLog): FactBody[] {
  let last = facts.latest('PhaseChanged')?.phase
  return phases.flatMap((phase) => {
    if (phase === last) return []
    last = phase
    return { type: 'PhaseChanged', data: { phase } } as const
  })
}
