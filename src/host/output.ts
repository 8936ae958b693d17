import {
  closeSync,
  constants,
  createReadStream,
  createWriteStream,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { pipeline } from 'node:stream/promises'
import type { OutputChunk } from '../domain/host-link.ts'
import { redactLine } from '../domain/redact.ts'
import { isGone } from '../os/process-identity.ts'
import { type RunPaths, readJson, writeAtomically } from './run-directory.ts'

/** Logical offsets of the first bytes of output.log and output.1.log. */
type Offsets = {
  base: number
  olderBase: number
  /** Size of output.log when it was last looked at; smaller later: it was cut by somebody else. */
  size: number
  /** Half-done: output.1.log.new holds output.log up to this logical offset at least, ... */
  rotatingTo?: number
  /** ... from this place in it on. */
  rotatingFrom?: number
}

/** Enough for a last line of 500 characters and the escapes around it. */
const tailBytes = 8 * 1024
/** Copied at a time. */
const catchUpBytes = 1024 * 1024
const catchUpChunksMax = 16
/** Beyond the cap; what a run writes between two looks is moved away whole, up to here. */
const surgeBytesMax = 256 * 1024 * 1024

/**
 * The output of one run: output.log, appended to by the run itself, and output.1.log with what was moved away when the
 * first grew past its cap. Offsets are logical: they count all bytes since the run's start.
 */
export class Output {
  readonly #paths: RunPaths
  readonly #capBytes: number
  #offsets: Offsets
  /** Said since the last call of `takeGap`. */
  #gap: string | undefined

  private constructor(paths: RunPaths, capBytes: number, offsets: Offsets) {
    this.#paths = paths
    this.#capBytes = capBytes
    this.#offsets = offsets
  }

  static async open(paths: RunPaths, capBytes: number): Promise<Output> {
    const offsets = (await readJson<Offsets>(paths.outputOffsets)) ?? { base: 0, olderBase: 0, size: 0 }
    const output = new Output(paths, capBytes, offsets)
    if (offsets.rotatingTo !== undefined) await output.#finishRotation()
    return output
  }

  /** Logical size of all output so far. */
  end(): number {
    return this.look() ?? this.#offsets.base
  }

  /** Takes in how long the file is now. @returns as `end`; undefined: there is no file, not even an empty one */
  look(): number | undefined {
    const found = sizeOf(this.#paths.output)
    const size = found ?? 0
    if (size < this.#offsets.size && this.#offsets.rotatingTo === undefined) {
      this.#gap = `output.log shrank from ${this.#offsets.size} to ${size} bytes: the run cut it; what was not read before is lost`
      this.#offsets = { ...this.#offsets, base: this.#offsets.base + this.#offsets.size }
    }
    this.#offsets.size = size
    return found === undefined ? undefined : this.#offsets.base + size
  }

  /** There is something for `tend` to do, as the last look showed. */
  get needsTending(): boolean {
    return this.#offsets.size > this.#capBytes || this.#gap !== undefined
  }

  /** Why output was lost, once per loss. */
  takeGap(): string | undefined {
    const gap = this.#gap
    this.#gap = undefined
    return gap
  }

  read(offset: number, maxBytes: number): Omit<OutputChunk, 'ended'> {
    const end = this.end()
    const { base, olderBase } = this.#offsets
    const olderSize = Math.min(sizeOf(this.#paths.olderOutput) ?? 0, base - olderBase)
    const isOlder = offset < base && offset < olderBase + olderSize
    const from = isOlder ? Math.max(offset, olderBase) : Math.min(Math.max(offset, base), end)
    const file = isOlder ? this.#paths.olderOutput : this.#paths.output
    const available = isOlder ? olderBase + olderSize - from : end - from
    const data = readAt(file, from - (isOlder ? olderBase : base), Math.min(maxBytes, available))
    return { offset: from, next: from + data.length, data }
  }

  /** The last line that is not blank, fit to be shown; undefined: there is none in the last 8 KiB. */
  lastLine(): string | undefined {
    const end = this.end()
    const { data } = this.read(Math.max(this.#offsets.base, end - tailBytes), tailBytes)
    const lines = Buffer.from(data)
      .toString('utf8')
      .split(/[\r\n]+/)
    for (const line of lines.reverse()) {
      const shown = redactLine(line)
      if (shown !== '') return shown
    }
    return undefined
  }

  /** Keeps the offsets; moves the output away when it is past the cap. Call it now and then, one call at a time. */
  async tend(): Promise<void> {
    this.look()
    if (this.#offsets.size > this.#capBytes) await this.#rotate()
    else if (this.#gap !== undefined) await this.#save()
  }

  /** The run goes on writing to the same file (it has it open for appending), so it is copied, then cut. */
  async #rotate(): Promise<void> {
    const copy = `${this.#paths.olderOutput}.new`
    const { base, size } = this.#offsets
    // What came faster than it was moved away, or was made so large with one system call, is kept up to the cap.
    const from = size > this.#capBytes + surgeBytesMax ? size - this.#capBytes : 0
    if (from > 0) this.#gap = `${from} bytes of output were not kept: more came at once than is moved away`
    await pipeline(
      createReadStream(this.#paths.output, { start: from, end: size - 1 }),
      createWriteStream(copy, { mode: 0o600 }),
    )
    catchUp(this.#paths.output, copy, from)
    this.#offsets = { ...this.#offsets, rotatingTo: base + from + (sizeOf(copy) ?? 0), rotatingFrom: from }
    await this.#save()
    await this.#finishRotation()
  }

  /** Each step can be done again: a crash in between loses nothing and shows nothing twice. */
  async #finishRotation(): Promise<void> {
    const { base, rotatingTo, rotatingFrom: from = 0 } = this.#offsets
    const copy = `${this.#paths.olderOutput}.new`
    if (rotatingTo === undefined) return
    // Nothing is awaited before the new offsets: readers see all of it or nothing, and hardly any time passes between
    // the last look at the output and the cut, in which what the run writes is lost.
    const copied = sizeOf(copy)
    let lost = 0
    if (copied !== undefined) {
      // A file that is smaller than its copy was cut before the crash.
      if ((sizeOf(this.#paths.output) ?? 0) >= from + copied) {
        catchUp(this.#paths.output, copy, from)
        lost = Math.max(0, (sizeOf(this.#paths.output) ?? 0) - from - (sizeOf(copy) ?? 0))
        truncateSync(this.#paths.output, 0)
      }
      renameSync(copy, this.#paths.olderOutput)
    }
    const moved = sizeOf(this.#paths.olderOutput) ?? rotatingTo - base - from
    if (lost > 0) this.#gap = `${lost} bytes of output were lost: they came faster than it was moved away`
    this.#offsets = { base: base + from + moved + lost, olderBase: base + from, size: 0 }
    await this.#save()
  }

  async #save(): Promise<void> {
    await writeAtomically(this.#paths.outputOffsets, JSON.stringify(this.#offsets))
  }
}

/** Appends to the copy what was written since it was made. @param start where in the output the copy begins */
function catchUp(from: string, copy: string, start: number): void {
  const file = openSync(copy, 'a', 0o600)
  try {
    let done = fstatSync(file).size
    // A run may write faster than this copies, and nobody else is served meanwhile.
    for (let chunk = 0; chunk < catchUpChunksMax; chunk += 1) {
      const missing = readAt(from, start + done, catchUpBytes)
      if (missing.length === 0) return
      writeSync(file, missing)
      done = fstatSync(file).size
    }
  } finally {
    closeSync(file)
  }
}

function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size
}

/** Reads a regular file only; the run owns its output file and might put something else there. */
function readAt(path: string, position: number, length: number): Uint8Array {
  if (length <= 0) return new Uint8Array()
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    if (isGone(error)) return new Uint8Array()
    throw error
  }
  try {
    if (!fstatSync(fd).isFile()) return new Uint8Array()
    const buffer = new Uint8Array(length)
    return buffer.subarray(0, readSync(fd, buffer, 0, length, position))
  } finally {
    closeSync(fd)
  }
}
