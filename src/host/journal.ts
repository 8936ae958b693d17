import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'

/** The file is kept this much longer than its lines, so that a full disk still takes the facts of a kill. */
const reserveBytes = 64 * 1024

/**
 * JSON lines in one file, in order, each of them whole or (the last one, after a crash) not there.
 * Padded with NUL bytes: writing in place works on a full disk.
 */
export class Journal<Line> {
  readonly #file: FileHandle | undefined
  #end: number
  #size: number
  /** Vital lines that no longer fitted on the disk, in order. */
  #unwritten: Buffer[] = []
  #queue: Promise<unknown> = Promise.resolve()
  /** Why the last write failed; undefined while all is well. */
  failure: Error | undefined

  private constructor(file: FileHandle | undefined, end: number, size: number) {
    this.#file = file
    this.#end = end
    this.#size = size
  }

  /**
   * Opens or makes the file and reads its lines. A torn last line is overwritten by the next one.
   * @throws the error of the file system, such as ENOSPC when there is no room for the reserve
   */
  static async open<Line>(path: string): Promise<{ journal: Journal<Line>; lines: Line[] }> {
    const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600)
    try {
      const content = await file.readFile()
      const { lines, end } = parseLines<Line>(content)
      const journal = new Journal<Line>(file, end, content.length)
      // What is left of a torn line must not follow the next line as if it belonged to it.
      if (end < content.length) await file.write(Buffer.alloc(content.length - end), 0, content.length - end, end)
      if (content.length === 0) await journal.#reserve(0)
      return { journal, lines }
    } catch (error) {
      await file.close()
      throw error
    }
  }

  get isOnDisk(): boolean {
    return this.#file !== undefined
  }

  /** As `open`; when the disk is full and the journal still empty, what is vital is kept in memory. */
  static async openOrKeepInMemory<Line>(path: string): Promise<{ journal: Journal<Line>; lines: Line[] }> {
    try {
      return await Journal.open<Line>(path)
    } catch (error) {
      if (!isDiskFull(error) && (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      const journal = new Journal<Line>(undefined, 0, 0)
      journal.failure = error as Error
      return { journal, lines: [] }
    }
  }

  /**
   * Writes the lines and, when one of them is vital, waits until they are on the disk.
   * @param onDisk `with the next`: what is vital is forced to the disk by the next lines that are
   * @returns false: nothing was written, because the disk is full and none of the lines is vital
   */
  append(lines: readonly Line[], vital: boolean, onDisk: 'now' | 'with the next' = 'now'): Promise<boolean> {
    const done = this.#queue.then(() => this.#append(lines, vital, vital && onDisk === 'now'))
    this.#queue = done.catch(() => {})
    return done
  }

  async #append(lines: readonly Line[], vital: boolean, isForced: boolean): Promise<boolean> {
    if (this.#file === undefined) return vital
    const text = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
    try {
      await this.#flush()
      this.failure = await this.#write(text, vital, isForced)
      return true
    } catch (error) {
      this.failure = error as Error
      if (!vital) return false
      this.#unwritten.push(text)
      return true
    }
  }

  async #flush(): Promise<void> {
    for (;;) {
      const oldest = this.#unwritten[0]
      if (oldest === undefined) return
      await this.#write(oldest, true, true)
      this.#unwritten.shift()
    }
  }

  /** @returns why the reserve had to be used, if it had to */
  async #write(text: Buffer, vital: boolean, isForced: boolean): Promise<Error | undefined> {
    let shortage: Error | undefined
    try {
      await this.#reserve(text.length)
    } catch (error) {
      if (!vital || this.#end + text.length > this.#size) throw error
      shortage = error as Error
    }
    await this.#file?.write(text, 0, text.length, this.#end)
    if (isForced) await this.#file?.datasync()
    this.#end += text.length
    return shortage
  }

  /** Makes sure that the reserve is still there after `bytes` more; extends by half of it at a time. */
  async #reserve(bytes: number): Promise<void> {
    const wanted = this.#end + bytes + reserveBytes / 2
    if (this.#size >= wanted) return
    const padding = Buffer.alloc(wanted + reserveBytes / 2 - this.#size)
    const { bytesWritten = 0 } = (await this.#file?.write(padding, 0, padding.length, this.#size)) ?? {}
    this.#size += bytesWritten
    if (bytesWritten < padding.length) throw Object.assign(new Error('the disk is full'), { code: 'ENOSPC' })
  }

  /** Gives the reserve back: nothing more will be written. */
  async seal(): Promise<void> {
    await this.#queue
    if (this.#file === undefined) return
    await this.#flush()
    await this.#file.truncate(this.#end)
    this.#size = this.#end
  }

  async close(): Promise<void> {
    await this.#queue
    await this.#file?.close()
  }
}

export function isDiskFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === 'ENOSPC' || code === 'EDQUOT'
}

function parseLines<Line>(content: Buffer): { lines: Line[]; end: number } {
  const lines: Line[] = []
  let end = 0
  for (;;) {
    const newline = content.indexOf(10, end)
    if (newline === -1) return { lines, end }
    const line = parsed<Line>(content.toString('utf8', end, newline))
    if (line === undefined) return { lines, end }
    lines.push(line)
    end = newline + 1
  }
}

/** undefined: a line that was being written when its writer died. */
function parsed<Line>(text: string): Line | undefined {
  try {
    return JSON.parse(text) as Line
  } catch {
    return undefined
  }
}
