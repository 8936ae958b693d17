/** What need not be heard at once is heard within this, and all that rings meanwhile together. */
const soonMs = 200

/** Wakes whoever waits for a change. Conditions are checked again by the one who waits; the bell carries nothing. */
export class Bell {
  #waiting = new Set<() => void>()
  #soon: NodeJS.Timeout | undefined

  ringSoon(): void {
    this.#soon ??= setTimeout(() => this.ring(), soonMs).unref()
  }

  ring(): void {
    clearTimeout(this.#soon)
    this.#soon = undefined
    const waiting = this.#waiting
    this.#waiting = new Set()
    for (const wake of waiting) wake()
  }

  /** Resolves when the bell rings, after `ms`, or when the signal aborts; never rejects. */
  wait(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', wake)
        this.#waiting.delete(wake)
        resolve()
      }
      const timer = setTimeout(wake, ms)
      this.#waiting.add(wake)
      signal?.addEventListener('abort', wake, { once: true })
    })
  }
}
