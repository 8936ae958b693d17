import { styleText } from 'node:util'
import type { CliDeps, Output } from './deps.ts'
import { jsonLine, printable } from './printable.ts'

/** One of Node's text styles, or several. */
export type Style = Parameters<typeof styleText>[0]

/** Where a command writes. Data goes to stdout; it resolves when the reader has taken it. */
export type Screen = {
  line(text: string): Promise<void>
  /** As it is, without a line break. */
  raw(text: string): Promise<void>
  /** One JSON value on one line. */
  json(value: unknown): Promise<void>
  /** To stderr: progress and remarks for people. Made safe for a terminal. */
  say(text: string): void
  /** Coloured where stdout is a terminal that wants colours; status is always words, so nothing is lost without. */
  paint(style: Style, text: string): string
  readonly colour: boolean
  readonly isTerminal: boolean
  /** Of the terminal; undefined where nobody looks. */
  readonly columns: number | undefined
}

export function createScreen({ stdout, stderr, env }: CliDeps): Screen {
  const isTerminal = stdout.isTTY === true
  const colour = isTerminal && !env.NO_COLOR && env.TERM !== 'dumb'
  return {
    line: (text) => write(stdout, `${text}\n`),
    raw: (text) => write(stdout, text),
    json: (value) => write(stdout, `${jsonLine(value)}\n`),
    say: (text) => void stderr.write(`${printable(text)}\n`),
    paint: (style, text) => (colour ? styleText(style, text, { validateStream: false }) : text),
    colour,
    isTerminal,
    columns: isTerminal ? (stdout.columns ?? 80) : undefined,
  }
}

function write(stdout: Output, text: string): Promise<void> {
  return new Promise((resolve) => {
    // A failed write is reported through the stream's `error` event, see watchOutput.
    stdout.write(text, () => resolve())
  })
}

/**
 * `runwarden events … | head` ends when head does, without a stack trace. What else fails (a full disk) is told to
 * `onFailure`, and the command goes on: what it does is no less done.
 * @param endsByItself a broken pipe, too, is only told: the command has something to close before it ends
 */
export function watchOutput(stdout: Output, onFailure: (error: Error) => void, endsByItself = false): void {
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE' && !endsByItself) process.exit()
    onFailure(error)
  })
}
