import { setTimeout as delay } from 'node:timers/promises'
import type { Endpoint } from './refusal.ts'

/** Where an append can be struck: before anything is written, or when all is written and nobody knows. */
export type Moment = 'before-commit' | 'after-commit'

export type Faults = ReturnType<typeof createFaults>

/** What is wrong with the server, for a test to set. Nothing at first. */
export function createFaults() {
  let strike: { moment: Moment; appendsToSpare: number; act(): void } | undefined

  return {
    /** How long each request waits before it is looked at. */
    delayMs: 0,
    /** Requests are taken and never answered; the connection lives. */
    isSilent: false,
    /** Nothing can be written: appends time out on the server's side. */
    isFull: false,
    /** This node is a follower of that one: it refuses what requires a leader. */
    leader: undefined as Endpoint | undefined,

    /**
     * Calls `act` at an append's moment, once; that append is never answered.
     * @param appendsToSpare how many appends go well before it
     */
    strikeAppend(moment: Moment, act: () => void, appendsToSpare = 0): void {
      strike = { moment, act, appendsToSpare }
    },
    /** True when the append must not go on. */
    isStruck(moment: Moment): boolean {
      if (strike?.moment !== moment) return false
      if (strike.appendsToSpare > 0) {
        strike.appendsToSpare -= 1
        return false
      }
      const { act } = strike
      strike = undefined
      act()
      return true
    },
    /** What each request passes first. */
    async pass(): Promise<void> {
      if (this.delayMs > 0) await delay(this.delayMs)
      if (this.isSilent) await new Promise(() => {})
    },
  }
}
