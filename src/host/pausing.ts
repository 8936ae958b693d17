import type { DesiredPause } from '../domain/host-link.ts'
import type { RunEventData } from '../domain/run-events.ts'
import type { Cgroup } from './cgroup.ts'
import type { FactLog } from './fact-log.ts'
import type { Member } from './membership.ts'
import { entryKey, isStopped, type ProcessEntry, type ProcessTable } from './process-table.ts'
import { readJson, writeAtomically } from './run-directory.ts'
import { signalProcess } from './signals.ts'
import type { Tree } from './tree.ts'

export type PausingOptions = {
  /** Where what is wanted is kept. */
  path: string
  facts: FactLog
  readTable(): Promise<ProcessTable>
  /** False once the end of the run has begun: nobody of it is stopped any more. */
  mayStop(): boolean
  onWish(): void
  crashPoint(name: string): void
}

/**
 * As on the disk. `leave`: those of the tree that stood still before anybody was stopped, by `entryKey`; they are not ours
 * to wake. `done`: of a resumption, that it was carried out.
 */
type Kept = DesiredPause & { leave?: string[]; done?: true }

/** The parts of a live run that a pause is about. */
type Held = { tree: Tree; cgroup: Cgroup | null }

const [firstRetryMs, retryMaxMs] = [5, 2_000]
/** After so many looks that showed nothing for sure, whoever was found goes on, and that is said. */
const looksMax = 20

/**
 * Stops a run's tree and lets it go on: a frozen cgroup where there is one, else SIGSTOP to each process until a look at
 * all of them finds nobody who runs. (Who waits in the kernel with a SIGSTOP to come stops before it runs again.) What is wanted is on the disk before anything is done about it, and what was done is
 * a fact, so that the next host goes on with it.
 */
export class Pausing {
  readonly #options: PausingOptions
  #kept: Kept | undefined
  /** The wish that was carried out by this host. */
  #settled: DesiredPause | undefined
  /** Who was sent SIGSTOP, by `entryKey`. */
  #asked = new Set<string>()
  #looks = 0
  #keeping: Promise<unknown> = Promise.resolve()

  private constructor(options: PausingOptions, kept: Kept | undefined) {
    this.#options = options
    this.#kept = kept
  }

  static async open(options: PausingOptions): Promise<Pausing> {
    return new Pausing(options, await readJson<Kept>(options.path))
  }

  /** Takes a wish in; one that is out of date changes nothing. @throws the file system's error: it is not taken in */
  async want(wish: DesiredPause | undefined): Promise<void> {
    if (wish === undefined) return
    const { crashPoint, onWish } = this.#options
    await this.#update((kept) => {
      if (wish.revision <= (kept?.revision ?? -1)) return undefined
      crashPoint('before pause wish')
      // Until all go on again, whoever stood still before the first of several pauses is left: the others we stopped.
      return { ...wish, ...(kept?.leave === undefined ? {} : { leave: kept.leave }) }
    })
    if (this.#kept?.revision !== wish.revision || this.isSettled) return
    crashPoint('after pause wish')
    this.#looks = 0
    this.#asked.clear()
    onWish()
  }

  /** One after the other, each on what the one before has left; undefined: nothing changes. */
  #update(change: (kept: Kept | undefined) => Kept | undefined): Promise<void> {
    const done = this.#keeping.then(async () => {
      const kept = change(this.#kept)
      if (kept === undefined) return
      await writeAtomically(this.#options.path, JSON.stringify(kept))
      this.#kept = kept
    })
    this.#keeping = done.catch(() => {})
    return done
  }

  /** The tree stands still, as its facts say. */
  get isPaused(): boolean {
    const { facts } = this.#options
    const request = facts.latest('RunPaused')?.request
    return request !== undefined && request !== facts.latest('RunResumed')?.request
  }

  get isSettled(): boolean {
    return this.#kept === undefined || this.#kept.done === true || this.#kept.revision === this.#settled?.revision
  }

  /** Brings the tree a step nearer to what is wanted. @returns after how many milliseconds to go on */
  async step(held: Held): Promise<number> {
    const wish = this.#kept
    if (wish === undefined) return 0
    this.#looks += 1
    const isDone = wish.paused ? await this.#stop(wish, held) : await this.#goOn('resume', held)
    if (isDone && !wish.paused) {
      const { revision } = wish
      await this.#update((kept) => (kept?.revision === revision ? { paused: false, revision, done: true } : undefined))
    }
    if (isDone && wish.revision === this.#kept?.revision) this.#settled = wish
    return isDone ? 0 : Math.min(firstRetryMs * 1.5 ** this.#looks, retryMaxMs)
  }

  async #stop(wish: Kept, { tree, cgroup }: Held): Promise<boolean> {
    const { facts, crashPoint, mayStop } = this.#options
    const frozen = cgroup?.freeze(true) ?? false
    const table = await this.#options.readTable()
    if (!mayStop()) return false
    const members = tree.observe(table)
    const loose = outside(members, frozen)
    if (wish.leave === undefined) {
      const leave = loose.filter(({ entry }) => isStopped(entry)).map(({ entry }) => entryKey(entry))
      await this.#update((kept) => (kept?.revision === wish.revision ? { ...kept, leave } : undefined))
    }
    if (this.#kept?.revision !== wish.revision) return false
    const running = mayStop() ? this.#stopAll(loose) : loose.length
    crashPoint('after stop signals')
    if (running > 0 || !(frozen ? cgroup?.frozen() : table.conclusive)) return false
    if (this.isPaused) return true
    const processes = [...members.values()].filter(({ entry }) => entry.alive).length
    const method: RunEventData<'RunPaused'>['method'] = frozen ? 'cgroup-freeze' : 'sigstop'
    await facts.emit([{ type: 'RunPaused', data: { request: wish.revision, method, processes } }])
    return true
  }

  /** @returns how many of them may run */
  #stopAll(members: Member[]): number {
    // A parent between vfork and its child's exec waits for that child, which is stopped: it gets no further than here.
    const isHeldUp = (entry: ProcessEntry) => entry.state === 'D' && this.#asked.has(entryKey(entry))
    const running = members.filter(({ entry }) => !isStopped(entry) && !isHeldUp(entry))
    for (const { entry } of running) if (signalProcess(entry, 'SIGSTOP')) this.#asked.add(entryKey(entry))
    return running.length
  }

  /** Whoever came later, or was woken by somebody else, is stopped too. */
  hold(members: Map<number, Member>, cgroup: Cgroup | null): void {
    if (this.#kept?.paused !== true || !this.isSettled || !this.#options.mayStop()) return
    this.#stopAll(outside(members, cgroup?.freeze(true) ?? false))
  }

  /** A process that is to act on SIGTERM must run. SIGKILL needs none of this. */
  async letGoOn(held: Held): Promise<void> {
    const goesOn = this.#kept === undefined || (!this.#kept.paused && this.isSettled)
    if (!goesOn) await this.#goOn('kill', held)
  }

  async #goOn(cause: RunEventData<'RunResumed'>['cause'], { tree, cgroup }: Held): Promise<boolean> {
    const { facts, readTable, crashPoint } = this.#options
    const thawed = cgroup?.freeze(false) ?? false
    // Written before the first SIGSTOP: where it is not there, nobody got one.
    const leave = this.#kept?.leave
    const table = leave === undefined ? undefined : await readTable()
    for (const { entry } of table === undefined ? [] : outside(tree.observe(table), thawed)) {
      // Those too that do not stand still yet: a SIGSTOP that waits for them is taken back.
      if (!leave?.includes(entryKey(entry))) signalProcess(entry, 'SIGCONT')
    }
    crashPoint('after go-on signals')
    if (cause === 'resume' && table?.conclusive === false && this.#looks < looksMax) return false
    const request = facts.latest('RunPaused')?.request
    if (request !== undefined && this.isPaused) await facts.emit([{ type: 'RunResumed', data: { request, cause } }])
    return true
  }
}

/** Live members that are no matter of the cgroup's freezer, the root first: it is the one that makes the others. */
const outside = (members: Map<number, Member>, byCgroup: boolean): Member[] =>
  [...members.values()]
    .filter(({ entry, foundBy }) => entry.alive && !(byCgroup && foundBy.has('cgroup')))
    .sort((a, b) => Number(b.foundBy.has('root')) - Number(a.foundBy.has('root')))
