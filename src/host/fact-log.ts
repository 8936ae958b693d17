import { statSync } from 'node:fs'
import type { Fact, FactBody } from '../domain/host-link.ts'
import type { HostId, RunId } from '../domain/ids.ts'
import type { Clock } from './clock.ts'
import { DeclaredSections } from './declared-sections.ts'
import { HeartbeatMemory } from './heartbeat-memory.ts'
import { Journal } from './journal.ts'
import { readJson, writeAtomically } from './run-directory.ts'

export type FactType = FactBody['type']
export type FactOf<Type extends FactType> = Extract<FactBody, { type: Type }>

/** How far a run's progress file has been read: of which file (device:inode), and to which byte. */
export type ProgressPosition = { file: string; offset: number }

type FactLine = { sequence: number; occurredAt: string; body: FactBody; progress?: ProgressPosition }

/** Facts without which a run's life cannot be told; the others can be left out when the disk is full. */
const expendable: ReadonlySet<FactType> = new Set([
  ...(['HeartbeatRecorded', 'TurnCompleted', 'PhaseChanged'] as const),
  ...(['CriticalSectionEntered', 'CriticalSectionExited'] as const),
])

const isHeartbeat = ({ type }: FactBody) => type === 'HeartbeatRecorded'

/** Heartbeats wait in memory for the store; past this many a run makes no new ones until some are acknowledged. */
const unacknowledgedHeartbeatsMax = 1000
/** Acknowledgements of heartbeats are kept on the disk for so many of them at a time. */
const heartbeatsPerAcknowledgement = 50
/** A journal that has grown past this is written anew without what the store already has. */
const compactAboveBytes = 2 * 1024 * 1024

export type FactLogOptions = {
  hostId: HostId
  runId: RunId
  path: string
  acknowledgedPath: string
  /** The highest number that the store has. */
  factSequence: number
  clock: Clock
  /** Tests end the process here. */
  crashPoint: (name: string) => void
  /** @param isUrgent false: heartbeats only, which are worth less apart than the trouble of one journey each */
  onFact: (isUrgent: boolean) => void
}

/**
 * The facts of one run: numbered, journalled before anybody is told, offered until acknowledged.
 * What has happened to the run is what its journal says; that is how a host goes on after a crash.
 */
export class FactLog {
  readonly #options: FactLogOptions
  #journal: Journal<FactLine>
  readonly #latest = new Map<FactType, FactLine>()
  #unacknowledged: FactLine[] = []
  #nextSequence: number
  #journalled: FactLine[]
  #emitting: Promise<unknown> = Promise.resolve()
  acknowledged: number
  #acknowledgedOnDisk: number
  progressPosition: ProgressPosition | undefined
  /** Cleanup steps that are done. */
  readonly doneSteps = new Set<string>()
  readonly sections = new DeclaredSections()
  /** Codes of the notices that were given. */
  readonly notices = new Set<string>()
  readonly heartbeats = new HeartbeatMemory()

  private constructor(options: FactLogOptions, journal: Journal<FactLine>, lines: FactLine[], acknowledged: number) {
    this.#options = options
    this.#journal = journal
    this.acknowledged = Math.max(acknowledged, options.factSequence)
    this.#acknowledgedOnDisk = acknowledged
    for (const line of lines) this.#fold(line)
    this.#journalled = lines
    this.#unacknowledged = lines.filter(({ sequence }) => sequence > this.acknowledged)
    this.#nextSequence = Math.max(this.acknowledged, lines.at(-1)?.sequence ?? 0) + 1
  }

  /** Of a disk that is full from the start nothing survives a restart: the store sends its wish again. */
  static async open(options: FactLogOptions): Promise<FactLog> {
    const acknowledged = (await readJson<number>(options.acknowledgedPath)) ?? 0
    const { journal, lines } = await Journal.openOrKeepInMemory<FactLine>(options.path)
    return new FactLog(options, journal, lines, acknowledged)
  }

  /** The latest fact of this type that was ever journalled. */
  latest<Type extends FactType>(type: Type): FactOf<Type>['data'] | undefined {
    return this.#latest.get(type)?.body.data as FactOf<Type>['data'] | undefined
  }

  has(type: FactType): boolean {
    return this.#latest.has(type)
  }

  occurredAt(type: FactType): string | undefined {
    return this.#latest.get(type)?.occurredAt
  }

  /** Of the last fact of any type: some agent was there then. */
  get lastOccurredAt(): string | undefined {
    return this.#journalled.at(-1)?.occurredAt
  }

  get failure(): Error | undefined {
    return this.#journal.failure
  }

  /**
   * Journals facts in one write, then offers them. Calls follow each other in order.
   * @param progress how far the progress file was read with these facts; kept in the same write
   * @returns false: the disk is full and these facts were expendable; nothing happened
   */
  emit(bodies: readonly FactBody[], progress?: ProgressPosition, occurredAt?: string): Promise<boolean> {
    const done = this.#emitting.then(() => this.#emit(bodies, progress, occurredAt))
    this.#emitting = done.catch(() => {})
    return done
  }

  async #emit(bodies: readonly FactBody[], progress?: ProgressPosition, at?: string): Promise<boolean> {
    const { clock, crashPoint, onFact } = this.#options
    const occurredAt = at ?? clock().toISOString()
    const lines = bodies.map(
      (body, index): FactLine => ({
        sequence: this.#nextSequence + index,
        occurredAt,
        body,
        ...(progress === undefined ? {} : { progress }),
      }),
    )
    const vital = bodies.some((body) => !expendable.has(body.type))
    for (const { type } of bodies) crashPoint(`before fact ${type}`)
    if (!(await this.#journal.append(lines, vital))) return false
    this.#nextSequence += lines.length
    for (const line of lines) this.#fold(line)
    this.#journalled.push(...lines)
    this.#unacknowledged.push(...lines)
    for (const { type } of bodies) crashPoint(`after fact ${type}`)
    onFact(!bodies.every(isHeartbeat))
    return true
  }

  #fold(line: FactLine): void {
    this.#latest.set(line.body.type, line)
    this.sections.fold(line.body, line.occurredAt)
    if (line.progress !== undefined) this.progressPosition = line.progress
    const { body } = line
    if (body.type === 'CleanupStepCompleted') this.doneSteps.add(body.data.step)
    if (body.type !== 'HeartbeatRecorded') return
    this.heartbeats.fold(body, line.occurredAt)
    for (const { code } of body.data.notices ?? []) this.notices.add(code)
  }

  get acceptsHeartbeats(): boolean {
    return this.#unacknowledged.length < unacknowledgedHeartbeatsMax
  }

  /** Facts above `sequence` that the store does not have, in order. */
  after(sequence: number, max: number): Fact[] {
    const { hostId, runId } = this.#options
    if (sequence >= this.lastSequence || this.#unacknowledged.length === 0) return []
    return this.#unacknowledged
      .filter((line) => line.sequence > sequence)
      .slice(0, max)
      .map(({ sequence, occurredAt, body }) => ({ host: hostId, runId, sequence, occurredAt, body }))
  }

  /** 0: none yet. */
  get lastSequence(): number {
    return this.#nextSequence - 1
  }

  get allAcknowledged(): boolean {
    return this.#unacknowledged.length === 0
  }

  /**
   * A crash before the number is on the disk only means that facts are offered once more. Writing it takes two waits for
   * the disk: of heartbeats alone it is not written each time.
   */
  async acknowledge(sequence: number): Promise<void> {
    if (sequence <= this.acknowledged) return
    this.acknowledged = Math.min(sequence, this.#nextSequence - 1)
    const [taken, left] = [this.#unacknowledged, this.#unacknowledged.filter((line) => line.sequence > sequence)]
    this.#unacknowledged = left
    const isFew = this.acknowledged - this.#acknowledgedOnDisk < heartbeatsPerAcknowledgement
    if (isFew && taken.every((line) => line.sequence > sequence || isHeartbeat(line.body))) return
    if (this.#journal.isOnDisk) {
      await writeAtomically(this.#options.acknowledgedPath, JSON.stringify(this.acknowledged))
      this.#acknowledgedOnDisk = this.acknowledged
      await this.#compact()
    }
  }

  /** Leaves out expendable facts that the store has, but for those that say where the run stands. */
  async #compact(): Promise<void> {
    if (statSync(this.#options.path).size < compactAboveBytes) return
    const compacted = this.#emitting.then(async () => {
      const latest = new Set(this.#latest.values())
      const kept = this.#journalled.filter(
        (line) =>
          line.sequence > this.acknowledged ||
          latest.has(line) ||
          !expendable.has(line.body.type) ||
          this.sections.restsOn(line.body) ||
          this.heartbeats.restsOn(line.body),
      )
      await writeAtomically(this.#options.path, kept.map((line) => `${JSON.stringify(line)}\n`).join(''))
      await this.#journal.close()
      const { journal } = await Journal.open<FactLine>(this.#options.path)
      this.#journal = journal
      this.#journalled = kept
    })
    this.#emitting = compacted.catch(() => {})
    await compacted
  }

  /** Nothing more will be emitted: gives back the reserve. */
  async seal(): Promise<void> {
    await this.#emitting
    await this.#journal.seal()
  }

  async close(): Promise<void> {
    await this.#emitting
    await this.#journal.close()
  }
}
