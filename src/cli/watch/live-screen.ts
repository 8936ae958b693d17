import type { CliDeps } from '../deps.ts'

/** A terminal that is painted in place; what was on it before comes back at the end. */
export type LiveScreen = {
  draw(lines: readonly string[]): void
  /** Of the terminal now. */
  size(): { columns: number; rows: number }
  /** Gives the terminal back as it was. */
  close(): void
}

const control = (sequence: string) => `\u001b[${sequence}`
/** The other screen, no cursor, no wrapping: a line that is too long is cut by the terminal itself. */
const enter = control('?1049h') + control('?25l') + control('?7l')
const leave = control('?7h') + control('?25h') + control('?1049l')
const [home, restOfLine, restOfScreen] = [control('H'), control('K'), control('J')]

/**
 * Takes over the terminal, and gives it back on `close`, or at the latest when the process exits.
 * @param on `key`: what was typed; `resize`: paint again, the terminal has another size
 */
export function openLiveScreen(
  { stdout, stdin }: Pick<CliDeps, 'stdout' | 'stdin'>,
  on: { key(key: string): void; resize(): void },
): LiveScreen {
  const onKeys = (keys: Buffer) => {
    for (const key of keys.toString()) on.key(key)
  }
  // Keys are read one by one, unechoed; Ctrl-C then comes as a key, too.
  const readsKeys = stdin.isTTY === true && stdin.setRawMode !== undefined
  let open = true

  function close(): void {
    if (!open) return
    open = false
    process.removeListener('exit', close)
    stdout.removeListener('resize', on.resize)
    if (readsKeys) {
      stdin.removeListener('data', onKeys)
      stdin.setRawMode?.(false)
      stdin.pause()
    }
    stdout.write(leave)
  }

  process.once('exit', close)
  stdout.on('resize', on.resize)
  if (readsKeys) {
    stdin.setRawMode?.(true)
    stdin.on('data', onKeys)
  }
  stdout.write(enter)

  return {
    draw: (lines) => {
      if (open) stdout.write(home + lines.map((line) => line + restOfLine).join('\r\n') + restOfScreen)
    },
    size: () => ({ columns: stdout.columns ?? 80, rows: stdout.rows ?? 24 }),
    close,
  }
}
