import type { RunId } from '../domain/ids.ts'
import type { Bell } from './bell.ts'

/** A turn is announced by the bell; this is for the case that it was not heard. */
const lookAgainMs = 30_000

/** The host's places for runs. Launches wait in the order in which they were requested; whatever runs already counts. */
export class Slots {
  readonly capacity: number
  readonly #holders = new Set<RunId>()
  readonly #waiting = new Map<RunId, { order: number; bell: Bell }>()

  constructor(capacity: number) {
    this.capacity = capacity
  }

  /** Takes a place without asking, as a process that runs already does. */
  hold(runId: RunId): void {
    this.#waiting.delete(runId)
    this.#holders.add(runId)
  }

  /**
   * Stands in the queue until there is a place and nobody who was earlier waits for it.
   * @param bell of the run: rung when its turn may have come, and by whoever changes what `isOff` says
   * @returns false: called off, or aborted
   */
  async wait(runId: RunId, order: number, bell: Bell, isOff: () => boolean, signal: AbortSignal): Promise<boolean> {
    if (!this.#holders.has(runId)) this.#waiting.set(runId, { order, bell })
    while (!signal.aborted && !isOff()) {
      if (this.#tryHold(runId)) return true
      await bell.wait(lookAgainMs, signal)
    }
    return false
  }

  #tryHold(runId: RunId): boolean {
    if (this.#holders.has(runId)) return true
    if (this.#next() !== runId || this.#holders.size >= this.capacity) return false
    this.hold(runId)
    this.#ringNext()
    return true
  }

  /** Gives the place back, or leaves the queue. */
  release(runId: RunId): void {
    this.#holders.delete(runId)
    this.#waiting.delete(runId)
    this.#ringNext()
  }

  get used(): number {
    return this.#holders.size
  }

  get waiting(): number {
    return this.#waiting.size
  }

  #next(): RunId | undefined {
    let next: RunId | undefined
    let lowest = Number.POSITIVE_INFINITY
    for (const [runId, { order }] of this.#waiting) {
      if (order >= lowest) continue
      next = runId
      lowest = order
    }
    return next
  }

  #ringNext(): void {
    const next = this.#next()
    if (next !== undefined) this.#waiting.get(next)?.bell.ring()
  }
}
