import { stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { DiskSpace } from '../domain/low-disk.ts'
import { isGone } from '../os/process-identity.ts'
import { Bell } from './bell.ts'
import type { Clock } from './clock.ts'

/** A directory that this host writes to. */
export type DiskPlace = { name: string; path: string }

/** What is seen of the file system that a path is on. `device` is the same for all paths on it. */
type Seen = { device: number; freeBytes: number; totalBytes: number; at: string }

export type DiskWatchOptions = {
  places: readonly DiskPlace[]
  /** How long a file system may take to answer. */
  answerMs?: number
  look?: (path: string) => Promise<Omit<Seen, 'at'>>
  clock: Clock
  signal: AbortSignal
}

export type DiskWatch = {
  /** What was seen last, one for each file system; asks nobody. */
  readonly disks: DiskSpace[]
  /** Looks once at every place. */
  look(): Promise<void>
}

/**
 * A call into a file system that hangs (a network mount whose server is gone) keeps one of the four threads that Node
 * has for all files, for ever. Past so many of them nobody else is asked: the others are for the runs.
 */
const hangingMax = 2

/** Watches how much room is left where this host writes. Nothing waits for it, and a place that hangs is left alone. */
export function createDiskWatch(options: DiskWatchOptions): DiskWatch {
  const { places, answerMs = 5_000, look = lookAt, clock, signal } = options
  const seen = new Map<string, Seen>()
  const failures = new Map<string, string>()
  const hanging = new Set<string>()

  async function lookAtAll(): Promise<void> {
    for (const place of places) {
      if (signal.aborted) return
      if (hanging.has(place.name)) continue
      if (hanging.size < hangingMax) await ask(place)
      else failures.set(place.name, 'is not looked at while others do not answer')
    }
  }

  /** Resolves with the answer, or without one when its time is over. */
  async function ask({ name, path }: DiskPlace): Promise<void> {
    const bell = new Bell()
    hanging.add(name)
    look(path)
      .then((space) => {
        seen.set(name, { ...space, at: clock().toISOString() })
        failures.delete(name)
      })
      .catch((error: Error) => void failures.set(name, error.message))
      .finally(() => {
        hanging.delete(name)
        bell.ring()
      })
    await bell.wait(answerMs, signal)
    if (hanging.has(name)) failures.set(name, `has not answered within ${answerMs / 1000} s`)
  }

  function disks(): DiskSpace[] {
    const found = new Map<number | string, DiskSpace>()
    for (const { name, path } of places) {
      const [space, failure] = [seen.get(name), failures.get(name) ?? null]
      // What cannot be seen now may be elsewhere by now.
      const key = failure === null ? (space?.device ?? name) : name
      const known = found.get(key)
      if (known !== undefined) known.places.push(name)
      else found.set(key, { place: name, path, places: [name], ...spaceOf(space, failure), failure })
    }
    return [...found.values()]
  }

  return {
    get disks() {
      return disks()
    },
    look: lookAtAll,
  }
}

/** Looks again and again, `done` when the signal has aborted. */
export function watchDisks(options: DiskWatchOptions & { intervalMs: number }) {
  const { intervalMs, signal } = options
  const watch = createDiskWatch(options)
  const bell = new Bell()
  const lookRegularly = async () => {
    while (!signal.aborted) {
      await watch.look()
      await bell.wait(intervalMs, signal)
    }
  }
  return { watch, done: lookRegularly() }
}

const spaceOf = (space: Seen | undefined, failure: string | null) => ({
  freeBytes: failure === null ? (space?.freeBytes ?? null) : null,
  totalBytes: failure === null ? (space?.totalBytes ?? null) : null,
  seenAt: space?.at ?? null,
})

/** One call at a time. A directory that is not made yet will be where the one above it is. */
async function lookAt(path: string): Promise<Omit<Seen, 'at'>> {
  try {
    const { dev } = await stat(path)
    const { bavail, bfree, blocks, bsize } = await statfs(path)
    // As df counts: what is reserved for root is neither free nor part of the whole.
    return { device: dev, freeBytes: bavail * bsize, totalBytes: (blocks - bfree + bavail) * bsize }
  } catch (error) {
    if (isGone(error) && dirname(path) !== path) return lookAt(dirname(path))
    throw error
  }
}
