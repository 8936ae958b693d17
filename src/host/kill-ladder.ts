import type { DesiredKill, FactBody } from '../domain/host-link.ts'
import type { RunId } from '../domain/ids.ts'
import type { ProcessIdentity } from '../domain/process-identity.ts'
import type { ProofLevel } from '../domain/receipt.ts'
import { type DeferrableKill, deferKill, deferralOf } from './deferral.ts'
import { awaitExit, noteExit } from './exit-fact.ts'
import type { Member } from './membership.ts'
import { isRunning, type ProcessTable } from './process-table.ts'
import { checksOf, type Look, ReceiptBook, receiptOf } from './receipt.ts'
import { signalProcess } from './signals.ts'
import type { Tree } from './tree.ts'
import { lookAtTree, type TreeLook } from './tree-look.ts'

/** What a kill needs of a run. */
export type LadderRun = DeferrableKill & {
  runId: RunId
  level: ProofLevel
  /** null: nobody knows which process was the root. */
  root: ProcessIdentity | null
  tree: Tree
  /** False: this host lives in another pid namespace than the run. */
  visible: boolean
  leftovers: { graceMs: number; proofDeadlineMs: number }
  /** Somebody is there to write down how the root ended. */
  exitMayCome(): boolean
  /** A run can stop its parent; whoever is to write down the exit goes on then. */
  wakeShim(): void
  readTable(): Promise<ProcessTable>
  /** Reads the rest of what the run said of itself, and sums up. */
  summary(): Promise<FactBody & { type: 'TelemetrySummarised' }>
}

/** However late a restart is: so long it looks before it says that the deadline passed without proof. */
const lookAtLeastMs = 300
const [quietPollMs, gracePollMaxMs] = [1, 25]
const [retryMaxMs, unprovenRetryMs, unprovenRetryMaxMs] = [250, 1_000, 30_000]

/**
 * Ends a run's tree, one rung after the other: SIGTERM and grace (unless forced), SIGKILL, proof. Also for what a root
 * that ended by itself left behind. Each rung is journalled before it is stepped on, so this goes on after a crash.
 * Ends with the fact TreeGone, or on abort. Past the deadline it says TreeNotProven once and goes on looking.
 */
export async function killTree(run: LadderRun): Promise<void> {
  const ladder = new Ladder(run)
  await ladder.climb()
}

class Ladder {
  readonly #run: LadderRun
  readonly #book = new ReceiptBook()
  #blindFor: string | undefined

  constructor(run: LadderRun) {
    this.#run = run
    this.#book.restore(run.ladder.step('met')?.processes ?? [])
  }

  async climb(): Promise<void> {
    const { ladder } = this.#run
    if (ladder.step('begun') === undefined) {
      // Nothing is done before the next step, which forces this one to the disk with itself.
      await ladder.write({ step: 'begun', at: ladder.kill?.requestedAt ?? this.#now() }, 'with the next')
    }
    await this.#settleOwnEnd()
    await deferKill(this.#run)
    if (this.#run.signal.aborted) return
    if (!this.#isForced() && ladder.step('proving') === undefined) {
      await this.#terminate()
      if (ladder.step('undeferred') !== undefined) this.#run.cgroup?.freeze(false)
      await this.#run.letGoOn()
      return this.#killAndProve(await this.#grace())
    }
    await this.#killAndProve()
  }

  #now = () => this.#run.clock().toISOString()
  #isOver = (time: string) => this.#run.clock().getTime() >= Date.parse(time)
  #later = (ms: number) => new Date(this.#run.clock().getTime() + ms).toISOString()
  #isForced = () => this.#run.ladder.kill !== null && this.#run.ladder.kill.kind !== 'graceful'
  #deadlines = (): Pick<DesiredKill, 'graceMs' | 'proofDeadlineMs'> => this.#run.ladder.kill ?? this.#run.leftovers
  #cause = () => (this.#run.ladder.kill === null ? ('leftovers' as const) : ('kill' as const))
  #hasSignalled = () => this.#run.facts.has('SigtermSent') || this.#run.facts.has('SigkillSent')

  /**
   * A root that ended before our first signal keeps its own outcome: the fact of its exit comes first. After a crash
   * between signal and fact, the end is ours unless it was recorded before we meant to signal.
   */
  async #settleOwnEnd(): Promise<void> {
    const { ladder, root } = this.#run
    const meant = ladder.step('terminating') ?? ladder.step('killing')
    const exit = this.#run.rootExit()
    const mayBeOurs = meant !== undefined && !this.#hasSignalled() && !(exit !== undefined && exit.at < meant.at)
    if (mayBeOurs || root === null || isRunning(root)) return
    await awaitExit(this.#run)
  }

  async #look(): Promise<TreeLook> {
    const look = await lookAtTree(this.#run, this.#book.living())
    this.#book.observe(look.members, this.#now())
    const { runId, log } = this.#run
    const why = look.failure?.message
    if (why !== undefined && why !== this.#blindFor) {
      log.error({ err: look.failure, runId }, 'the tree of a kill cannot be looked at')
    }
    this.#blindFor = why
    return look
  }

  async #terminate(): Promise<void> {
    const { ladder, facts } = this.#run
    if (facts.has('SigtermSent')) return
    const { alive } = await this.#look()
    if (alive.length === 0 && ladder.step('terminating') === undefined) return
    if (ladder.step('terminating') === undefined) {
      const graceUntil = this.#later(this.#deadlines().graceMs)
      await ladder.write({ step: 'terminating', at: this.#now(), graceUntil, processes: alive.length })
      await this.#settleBeforeSignal()
    }
    this.#signalEach(alive, 'SIGTERM')
    const processes = ladder.step('terminating')?.processes ?? alive.length
    // Two journals, and neither waits for what the other says: a crash between them is one between signal and fact.
    await Promise.all([
      facts.emit([{ type: 'SigtermSent', data: { processes, cause: this.#cause() } }]),
      ladder.write({ step: 'met', processes: this.#book.met() }),
    ])
  }

  /** The last moment before the first signal. */
  async #settleBeforeSignal(): Promise<void> {
    const { root } = this.#run
    if (!this.#hasSignalled() && root !== null && !isRunning(root)) await awaitExit(this.#run)
  }

  /** The root first: were it to die of its children's death, that would look like its own. */
  #signalEach(members: Member[], signal: 'SIGTERM' | 'SIGKILL'): void {
    const at = this.#now()
    const rootFirst = [...members].sort((a, b) => Number(b.foundBy.has('root')) - Number(a.foundBy.has('root')))
    for (const { entry } of rootFirst) if (signalProcess(entry, signal)) this.#book.signalled(entry, signal, at)
  }

  /** @returns the look that found nobody alive; undefined: one that shows more, or SIGKILL, has to follow */
  async #grace(): Promise<TreeLook | undefined> {
    const { ladder, bell, signal, cgroup, log } = this.#run
    const until = ladder.step('terminating')?.graceUntil
    if (until === undefined) return undefined
    const watcher = cgroup?.watch(bell, log)
    try {
      let pauseMs = quietPollMs
      while (!signal.aborted && !this.#isForced() && !this.#isOver(until)) {
        const [look] = await Promise.all([this.#isQuiet() ? this.#look() : undefined, noteExit(this.#run)])
        if (look?.alive.length === 0) return look.conclusive && look.cgroupEmpty !== false ? look : undefined
        const leftMs = Date.parse(until) - this.#run.clock().getTime()
        await bell.wait(Math.max(1, Math.min(pauseMs, leftMs)), signal)
        pauseMs = Math.min(pauseMs * 1.3, gracePollMaxMs)
      }
      return undefined
    } finally {
      watcher?.close()
    }
  }

  /** Cheap: nobody whom we know is left. Worth a look at everybody. */
  #isQuiet(): boolean {
    if (this.#run.cgroup?.populated()) return false
    return !this.#book.living().some(isRunning)
  }

  /** @param seen a look that began after the last signal */
  async #killAndProve(seen?: TreeLook): Promise<void> {
    const { ladder, cgroup, signal } = this.#run
    const lookUntil = performance.now() + lookAtLeastMs
    const emptyLooksWanted = cgroup === null ? 2 : 1
    let emptyLooks = 0
    let pauseMs = 5
    for (let next = seen; !signal.aborted; next = undefined) {
      // The deadline of what is proven by then needs no journal.
      if (next === undefined && ladder.step('proving') === undefined) {
        await ladder.write({ step: 'proving', until: this.#later(this.#deadlines().proofDeadlineMs) })
      }
      const look = next ?? (await this.#look())
      const isEmpty = look.alive.length === 0 && look.cgroupEmpty !== false
      emptyLooks = isEmpty && look.conclusive ? emptyLooks + 1 : 0
      if (emptyLooks === emptyLooksWanted) return this.#gone(look)
      if (emptyLooks > 0) continue
      if (!isEmpty || look.failure !== undefined) await this.#strike(look.alive)
      const isLate = this.#isOver(this.#provingUntil()) && performance.now() > lookUntil
      if (isLate && this.#owesDoubt()) await this.#notProven(look)
      await this.#awaitQuiet(isEmpty && !isLate ? quietPollMs : pauseMs)
      pauseMs = isLate
        ? Math.min(Math.max(pauseMs * 2, unprovenRetryMs), unprovenRetryMaxMs)
        : Math.min(pauseMs * 2, retryMaxMs)
    }
  }

  /** A kill that is asked for anew after one that was not proven gets a deadline of its own. */
  #provingUntil(): string {
    const { kill, step } = { kill: this.#run.ladder.kill, step: this.#run.ladder.step('proving')?.until ?? '' }
    const own = kill === null ? '' : new Date(Date.parse(kill.requestedAt) + kill.proofDeadlineMs).toISOString()
    return own > step ? own : step
  }

  /** Nobody has been told yet that this kill is not proven. */
  #owesDoubt(): boolean {
    const told = this.#run.facts.occurredAt('TreeNotProven')
    return told === undefined || (this.#run.ladder.kill?.requestedAt ?? '') > told
  }

  /** SIGKILL to everybody found: at once where the kernel can, one by one otherwise. */
  async #strike(alive: Member[]): Promise<void> {
    const { ladder, facts, visible } = this.#run
    if (!visible) return
    const isFirst = !facts.has('SigkillSent')
    if (isFirst && ladder.step('killing') === undefined) {
      await ladder.write({ step: 'killing', at: this.#now(), processes: alive.length })
      await this.#settleBeforeSignal()
    }
    const inCgroup = alive.filter(({ foundBy }) => foundBy.has('cgroup'))
    const outside = alive.filter(({ foundBy }) => !foundBy.has('cgroup'))
    this.#killCgroup(inCgroup)
    this.#signalEach(outside, 'SIGKILL')
    if (!isFirst) return
    await this.#sayKilled()
    await ladder.write({ step: 'met', processes: this.#book.met() })
  }

  /** After a crash between the signal and its fact nobody may be left to signal again; the fact is due all the same. */
  async #sayKilled(): Promise<void> {
    const { facts, ladder } = this.#run
    const killing = ladder.step('killing')
    if (killing === undefined || facts.has('SigkillSent')) return
    await facts.emit([{ type: 'SigkillSent', data: { processes: killing.processes, cause: this.#cause() } }])
  }

  #killCgroup(members: Member[]): void {
    const { cgroup } = this.#run
    if (cgroup === null) return
    if (cgroup.kill()) {
      const at = this.#now()
      for (const { entry } of members) this.#book.signalled(entry, 'SIGKILL', at)
      return
    }
    // Frozen, nobody forks while the list is worked through.
    cgroup.freeze(true)
    this.#signalEach(members, 'SIGKILL')
    cgroup.freeze(false)
  }

  /** Waits until nobody known is left, but no longer than `ms`; a stronger kill ends it too. */
  async #awaitQuiet(ms: number): Promise<void> {
    const { bell, signal, ladder } = this.#run
    const { kill } = ladder
    const until = performance.now() + ms
    let pauseMs = quietPollMs
    do {
      await bell.wait(pauseMs, signal)
      pauseMs = Math.min(pauseMs * 1.5, Math.max(quietPollMs, ms / 4))
    } while (!signal.aborted && ladder.kill === kill && performance.now() < until && !this.#isQuiet())
  }

  async #gone(look: Look): Promise<void> {
    const { facts, log, runId } = this.#run
    await this.#sayKilled()
    await awaitExit(this.#run)
    if (this.#run.signal.aborted) return
    const provenAt = this.#now()
    const receipt = this.#receipt(true, look, provenAt)
    await facts.emit([await this.#run.summary(), { type: 'TreeGone', data: { receipt } }], undefined, provenAt)
    log.info({ runId, processes: receipt.processCount, level: receipt.level }, 'the tree is gone')
  }

  async #notProven(look: Look): Promise<void> {
    const receipt = this.#receipt(false, look)
    const survivors = receipt.processes.filter(({ goneAt }) => goneAt === null).map(({ identity }) => identity.pid)
    this.#run.log.warn({ runId: this.#run.runId, survivors }, 'the deadline passed without proof that the tree is gone')
    await this.#run.facts.emit([{ type: 'TreeNotProven', data: { receipt } }])
  }

  #receipt(proven: boolean, look: Look, provenAt?: string) {
    const { runId, level, root, facts, ladder } = this.#run
    const { timings, ...deferral } = deferralOf(ladder)
    const [sigtermAt, sigkillAt] = [facts.occurredAt('SigtermSent'), facts.occurredAt('SigkillSent')]
    return receiptOf({
      runId,
      proven,
      level,
      root,
      rootExit: facts.latest('ProcessExited') ?? null,
      book: this.#book,
      checks: checksOf(look),
      ...deferral,
      timings: {
        requestedAt: ladder.step('begun')?.at ?? this.#now(),
        ...timings,
        ...(sigtermAt === undefined ? {} : { sigtermAt }),
        ...(sigkillAt === undefined ? {} : { sigkillAt }),
        ...(provenAt === undefined ? {} : { provenAt }),
      },
    })
  }
}
