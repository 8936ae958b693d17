import { closeSync, openSync, readSync } from 'node:fs'

/** Grows to the largest file there was: an environment may have hundreds of kilobytes. */
let buffer = Buffer.allocUnsafeSlow(64 * 1024)

/**
 * Reads a file of `/proc` or of a cgroup to its end, as latin1. `readFileSync` takes 64 KiB of new memory for each file
 * whose size it is not told; with thousands of files every few seconds that is most of what sampling costs.
 * @throws the file system's error
 */
export function readKernelFile(path: string): string {
  const file = openSync(path, 'r')
  try {
    return readOpenKernelFile(file)
  } finally {
    closeSync(file)
  }
}

/** The same of a file that is open, from its start: the kernel writes it anew for each such reading. */
export function readOpenKernelFile(file: number): string {
  for (let length = 0; ; ) {
    if (length === buffer.length) buffer = Buffer.concat([buffer], 2 * buffer.length)
    const read = readSync(file, buffer, length, buffer.length - length, length)
    if (read === 0) return buffer.toString('latin1', 0, length)
    length += read
  }
}
