import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from 'node:fs'
import { z } from 'zod'
import { sectionIdSchema, sectionKindSchema } from '../domain/critical-section.ts'
import { redactLine } from '../domain/redact.ts'
import { type Usage, usageSchema } from '../domain/run-events.ts'
import type { SectionLine } from './declared-sections.ts'
import type { ProgressPosition } from './fact-log.ts'

/** What a run may say of itself, one JSON object a line, any of the keys at once; other keys are passed over. */
const progressLineSchema = z.object({
  turn: z.number().int().positive().optional(),
  phase: z.string().min(1).max(100).optional(),
  progress: z.number().min(0).max(100).optional(),
  usage: usageSchema.optional(),
  enter: z
    .object({
      id: sectionIdSchema,
      kind: sectionKindSchema,
      expectedMs: z.number().nonnegative().optional(),
      detail: z.string().optional(),
      pid: z.number().int().positive().optional(),
    })
    .optional(),
  exit: z.object({ id: sectionIdSchema }).optional(),
})

export type Progress = {
  turns: number[]
  phases: string[]
  /** Critical sections entered and left, in order. */
  sections: SectionLine[]
  progressPercent?: number
  usage?: Usage
  /** The first line that could not be read, and why. */
  badLine?: string
  position: ProgressPosition
  /** There is more to read. */
  more: boolean
}

/** A line may be this long; a longer one is passed over as bad. */
export const lineBytesMax = 64 * 1024
/** Read at a time, at most. */
export const readBytesMax = 4 * lineBytesMax
/**
 * Read at all, at most: a hundred thousand lines. A run can make its file a terabyte with one system call; of such a one
 * only the end is read.
 */
export const backlogBytesMax = 64 * readBytesMax

/** Whether `readProgress` may find something: false where the file is as it was read, or is not there. */
export function mayHaveGrown(path: string, position: ProgressPosition | undefined): boolean {
  try {
    const stat = lstatSync(path, { throwIfNoEntry: false })
    if (stat === undefined) return false
    const isKnown = position !== undefined && position.file === fileOf(stat)
    return !stat.isFile() || stat.size !== (isKnown ? position.offset : 0)
  } catch {
    // What is wrong is for the one who reads it.
    return true
  }
}

const fileOf = ({ dev, ino }: { dev: number; ino: number }) => `${dev}:${ino}`

/**
 * Reads what was appended since `position`. A file that was replaced or cut is read from its start.
 * The run can put anything in its place: only a regular file is read, and no link is followed. Of what is longer than
 * {@link backlogBytesMax} the end is read, and the rest told as a bad line.
 * @returns undefined when there is nothing new
 */
export function readProgress(path: string, position: ProgressPosition | undefined): Progress | undefined {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ELOOP') return strange('it is a symbolic link', position)
    return undefined
  }
  try {
    const stat = fstatSync(fd)
    if (!stat.isFile()) return strange('it is not a regular file', position)
    const file = fileOf(stat)
    const next = position?.file === file && position.offset <= stat.size ? position.offset : 0
    const start = stat.size - next > backlogBytesMax ? stat.size - readBytesMax : next
    const length = Math.min(stat.size - start, readBytesMax)
    if (length <= 0) return undefined
    const buffer = Buffer.alloc(length)
    const text = buffer.subarray(0, readSync(fd, buffer, 0, length, start))
    const progress = parseProgress(text, file, start, stat.size)
    if (progress !== undefined && start > next) {
      progress.badLine = `${start - next} bytes were passed over: more than ${backlogBytesMax} at once are not read`
    }
    return progress
  } finally {
    closeSync(fd)
  }
}

const strangePosition = (why: string): ProgressPosition => ({ file: why, offset: 0 })

function strange(why: string, position: ProgressPosition | undefined): Progress | undefined {
  if (position?.file === why) return undefined
  return {
    turns: [],
    phases: [],
    sections: [],
    badLine: `the progress file is not read: ${why}`,
    position: strangePosition(why),
    more: false,
  }
}

/** Whole lines of `bytes`, which stand at `start` of the file. A line without its end waits, unless it is too long. */
export function parseProgress(bytes: Buffer, file: string, start: number, size: number): Progress | undefined {
  const progress: Progress = { turns: [], phases: [], sections: [], position: { file, offset: start }, more: false }
  let from = 0
  for (;;) {
    const newline = bytes.indexOf(10, from)
    if (newline === -1) break
    takeLine(bytes.subarray(from, newline), progress)
    from = newline + 1
  }
  if (bytes.length - from > lineBytesMax) {
    progress.badLine ??= `a line is longer than ${lineBytesMax} bytes`
    from = bytes.length
  }
  if (from === 0) return undefined
  progress.position.offset = start + from
  progress.more = start + bytes.length < size
  return progress
}

function takeLine(line: Buffer, progress: Progress): void {
  if (line.length > lineBytesMax) {
    progress.badLine ??= `a line is longer than ${lineBytesMax} bytes`
    return
  }
  const text = line.toString('utf8').trim()
  if (text === '') return
  const parsed = progressLineSchema.safeParse(jsonOrUndefined(text))
  if (!parsed.success) {
    progress.badLine ??= `not a progress line: ${redactLine(text, 200)}`
    return
  }
  const { turn, phase, progress: percent, usage, enter, exit } = parsed.data
  if (turn !== undefined) progress.turns.push(turn)
  if (phase !== undefined) progress.phases.push(phase)
  if (enter !== undefined) progress.sections.push({ enter })
  if (exit !== undefined) progress.sections.push({ exit })
  if (percent !== undefined) progress.progressPercent = percent
  if (usage !== undefined) progress.usage = { ...progress.usage, ...usage }
}

/** undefined, which no line is, for what is not JSON. */
function jsonOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
