import { closeSync, openSync } from 'node:fs'
import { readKernelFile, readOpenKernelFile } from './read-kernel-file.ts'

/** Of the files that this process may have open, at most this part is kept open. */
const share = 1 / 4

let keepable: number | undefined

/** How many more may be kept; `null` in the kernel's list means that there is no limit. */
const leftToKeep = () => {
  keepable ??= Math.floor(
    Number(/^Max open files\s+(\d+)/m.exec(readKernelFile('/proc/self/limits'))?.[1] ?? 4096) * share,
  )
  return keepable
}

/**
 * Files of `/proc` or of cgroups that are read again and again, each by a key and opened once: opening and closing them
 * takes more than half of what a reading costs. A file of `/proc/<pid>` is bound to the very process: once that is gone
 * its reading fails, whoever has the pid by then. What there is no room for is opened for each reading.
 */
export class KeptFiles<Key> {
  readonly #files = new Map<Key, number>()

  /** @param path called where the file is not open, or what it was bound to is gone. @throws the file system's error */
  read(key: Key, path: () => string): string {
    const file = this.#files.get(key)
    if (file !== undefined) {
      try {
        return readOpenKernelFile(file)
      } catch {
        // Of whoever has this name now nothing is known yet.
        this.close(key)
      }
    }
    if (leftToKeep() <= 0) return readKernelFile(path())
    const opened = openSync(path(), 'r')
    try {
      const content = readOpenKernelFile(opened)
      this.#files.set(key, opened)
      keepable = leftToKeep() - 1
      return content
    } finally {
      if (this.#files.get(key) !== opened) closeSync(opened)
    }
  }

  close(key: Key): void {
    const file = this.#files.get(key)
    if (file === undefined) return
    this.#files.delete(key)
    keepable = leftToKeep() + 1
    closeSync(file)
  }

  /** Closes those whose key does not pass. */
  closeUnless(isNeeded: (key: Key) => boolean): void {
    for (const key of this.#files.keys()) if (!isNeeded(key)) this.close(key)
  }
}
