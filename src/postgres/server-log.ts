import { closeSync, ftruncateSync, openSync, readSync, statSync, writeSync } from 'node:fs'
import { explainFileError } from './embedded-error.ts'

const maxBytes = 8 * 1024 * 1024
const keptBytes = 256 * 1024
const checkEveryMs = 30_000

/** PostgreSQL's own messages. Its logging collector would cost a process and has no limit of size. */
export type ServerLog = {
  /** Opened for appending: hand it to the server, then close it. */
  open(): number
  size(): number
  /** The last lines, at most 4 KB, of what was written after `offset`. */
  tail(offset: number): string
  /** Shortens the file now and every 30 s, while this process lives, to its last 256 KB when it is over 8 MB. */
  keepShort(onError: (error: unknown) => void): { stop(): void }
}

export function serverLog(path: string): ServerLog {
  const size = () => statSync(path, { throwIfNoEntry: false })?.size ?? 0
  const open = () => {
    try {
      return openSync(path, 'a', 0o600)
    } catch (error) {
      throw explainFileError(error, path)
    }
  }
  return {
    open,
    size,
    tail(offset) {
      const text = readFrom(path, Math.max(offset, size() - 4096))
      return text.trim()
    },
    keepShort(onError) {
      const check = () => {
        try {
          if (size() > maxBytes) shorten(path, size())
        } catch (error) {
          onError(error)
        }
      }
      check()
      const timer = setInterval(check, checkEveryMs)
      timer.unref()
      return { stop: () => clearInterval(timer) }
    },
  }
}

/** In place: the server appends to the file that it has open, and goes on doing so. */
function shorten(path: string, size: number): void {
  const kept = readFrom(path, size - keptBytes)
  const fd = openSync(path, 'r+')
  try {
    ftruncateSync(fd, 0)
    writeSync(fd, kept)
  } finally {
    closeSync(fd)
  }
}

function readFrom(path: string, offset: number): string {
  const fd = openSync(path, 'r')
  try {
    const buffer = Buffer.alloc(keptBytes)
    return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, offset)).toString('utf8')
  } finally {
    closeSync(fd)
  }
}
