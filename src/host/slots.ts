import type { RunId } from '../domain/ids.ts'
import type { Bell } from './bell.ts'

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

  /** From now on the run stands in the queue; its bell rings when its turn may have come. */
  queue(runId: RunId, order: number, bell: Bell): void {
    if (!this.#holders.has(runId)) this.#waiting.set(runId, { order, bell })
  }

  /** Takes a place if there is one and nobody who was earlier waits for it. */
  tryHold(runId: RunId): boolean {
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
