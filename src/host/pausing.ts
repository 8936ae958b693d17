import type { DesiredPause } from '../domain/host-link.ts'
import type { RunEventData } from '../domain/run-events.ts'
import type { Cgroup } from './cgroup.ts'
import type { FactLog } from './fact-log.ts'
import type { Member } from './membership.ts'
import { entryKey, isStopped, type ProcessTable } from './process-table.ts'
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

/** As on the disk. `leave`: those of the tree that stood still before, by `entryKey`; they are not ours to wake. */
type Kept = DesiredPause & { leave?: string[] }

/** The parts of a live run that a pause is about. */
type Held = { tree: Tree; cgroup: Cgroup | null }

const [firstRetryMs, retryMaxMs] = [5, 500]
/** After so many looks that showed nothing for sure, whoever was found goes on, and that is said. */
const looksMax = 20

/**
 * Stops a run's tree and lets it go on: a frozen cgroup where there is one, else SIGSTOP to each process until a look at
 * all of them finds nobody who runs. What is wanted is on the disk before anything is done about it, and what was done is
 * a fact, so that the next host goes on with it.
 */
export class Pausing {
  readonly #options: PausingOptions
  #kept: Kept | undefined
  /** The wish that was carried out by this host. */
  #settled: DesiredPause | undefined
  #looks = 0

  private constructor(options: PausingOptions, kept: Kept | undefined) {
    this.#options = options
    this.#kept = kept
  }

  static async open(options: PausingOptions): Promise<Pausing> {
    return new Pausing(options, await readJson<Kept>(options.path))
  }

  /** Takes a wish in; one that is out of date changes nothing. @throws the file system's error: it is not taken in */
  async want(wish: DesiredPause | undefined): Promise<void> {
    if (wish === undefined || wish.revision <= (this.#kept?.revision ?? -1)) return
    const { crashPoint, onWish } = this.#options
    crashPoint('before pause wish')
    const leave = this.#kept?.leave
    // Until they go on again, those who stood still before the first of several pauses are the ones to leave.
    await this.#keep({ ...wish, ...(leave !== undefined && this.isPaused ? { leave } : {}) })
    crashPoint('after pause wish')
    this.#looks = 0
    onWish()
  }

  async #keep(kept: Kept): Promise<void> {
    await writeAtomically(this.#options.path, JSON.stringify(kept))
    this.#kept = kept
  }

  /** The tree stands still, as its facts say. */
  get isPaused(): boolean {
    const { facts } = this.#options
    const request = facts.latest('RunPaused')?.request
    return request !== undefined && request !== facts.latest('RunResumed')?.request
  }

  get isSettled(): boolean {
    return this.#kept === undefined || this.#kept.revision === this.#settled?.revision
  }

  /** Brings the tree a step nearer to what is wanted. @returns after how many milliseconds to go on */
  async step(held: Held): Promise<number> {
    const wish = this.#kept
    if (wish === undefined) return 0
    this.#looks += 1
    const isDone = wish.paused ? await this.#stop(wish, held) : await this.#goOn('resume', held)
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
      await this.#keep({
        ...wish,
        leave: loose.filter(({ entry }) => isStopped(entry)).map(({ entry }) => entryKey(entry)),
      })
    }
    const running = mayStop() ? stopAll(loose) : loose.length
    crashPoint('after stop signals')
    if (running > 0 || !(frozen ? cgroup?.frozen() : table.conclusive)) return false
    if (this.isPaused) return true
    const processes = [...members.values()].filter(({ entry }) => entry.alive).length
    const method: RunEventData<'RunPaused'>['method'] = frozen ? 'cgroup-freeze' : 'sigstop'
    await facts.emit([{ type: 'RunPaused', data: { request: wish.revision, method, processes } }])
    return true
  }

  /** Whoever came later, or was woken by somebody else, is stopped too. */
  hold(members: Map<number, Member>, cgroup: Cgroup | null): void {
    if (this.#kept?.paused !== true || !this.isSettled || !this.#options.mayStop()) return
    stopAll(outside(members, cgroup?.freeze(true) ?? false))
  }

  /** A process that is to act on SIGTERM must run. SIGKILL needs none of this. */
  async letGoOn(held: Held): Promise<void> {
    const goesOn = this.#kept === undefined || (!this.#kept.paused && this.isSettled)
    if (!goesOn) await this.#goOn('kill', held)
  }

  async #goOn(cause: RunEventData<'RunResumed'>['cause'], { tree, cgroup }: Held): Promise<boolean> {
    const { facts, readTable, crashPoint } = this.#options
    const thawed = cgroup?.freeze(false) ?? false
    const table = await readTable()
    const left = new Set(this.#kept?.leave ?? [])
    // Those too that do not stand still yet: a SIGSTOP that waits for them is taken back.
    for (const { entry } of outside(tree.observe(table), thawed)) {
      if (!left.has(entryKey(entry))) signalProcess(entry, 'SIGCONT')
    }
    crashPoint('after go-on signals')
    if (cause === 'resume' && !table.conclusive && this.#looks < looksMax) return false
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

/** @returns how many of them ran */
function stopAll(members: Member[]): number {
  const running = members.filter(({ entry }) => !isStopped(entry))
  for (const { entry } of running) signalProcess(entry, 'SIGSTOP')
  return running.length
}
