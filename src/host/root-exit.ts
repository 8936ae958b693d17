import { type FSWatcher, statSync, watch } from 'node:fs'
import type { DesiredRun } from '../domain/host-link.ts'
import type { ProcessIdentity } from '../domain/process-identity.ts'
import type { RootExit } from '../domain/receipt.ts'
import type { Bell } from './bell.ts'
import type { Clock, Log } from './clock.ts'
import { isOfThisMachine, isRunning } from './process-table.ts'
import { readSlot } from './run-directory.ts'

/** How a run's root ended, as its shim wrote it down, or as far as anybody can know of a process that is not ours. */
export class RootEnd {
  readonly #kind: DesiredRun['work']['kind']
  readonly #path: string
  readonly #clock: Clock
  #goneAt: string | undefined

  constructor(kind: DesiredRun['work']['kind'], exitPath: string, clock: Clock) {
    this.#kind = kind
    this.#path = exitPath
    this.#clock = clock
  }

  /** undefined while the root lives, or while its shim has not written its status yet. */
  of(root: ProcessIdentity | null): RootExit | undefined {
    const status = readSlot(this.#path)
    if (status !== undefined) return { status: Number(status), at: statSync(this.#path).mtime.toISOString() }
    // A registered process has nobody who waits for it.
    if (this.#kind === 'launch' || root === null || !isOfThisMachine(root) || isRunning(root)) return undefined
    this.#goneAt ??= this.#clock().toISOString()
    return { status: null, at: this.#goneAt }
  }

  /** Rings the bell when the shim writes. undefined: there is no such file, or the machine has no watch left to give. */
  watch(bell: Bell, log: Log): FSWatcher | undefined {
    if (this.#kind !== 'launch') return undefined
    try {
      const watcher = watch(this.#path, { persistent: false }, () => bell.ring())
      return watcher.on('error', () => watcher.close())
    } catch (error) {
      log.warn({ err: error, path: this.#path }, 'the exit file cannot be watched; it is polled')
      return undefined
    }
  }
}
