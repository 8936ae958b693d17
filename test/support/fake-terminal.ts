import { PassThrough, Writable } from 'node:stream'

/** What a terminal is to a command: it has a size, takes what is painted, and gives the keys that are typed. */
export type FakeTerminal = ReturnType<typeof fakeTerminal>

const esc = '\u001b'
export const entered = `${esc}[?1049h${esc}[?25l${esc}[?7l`
export const left = `${esc}[?7h${esc}[?25h${esc}[?1049l`

export function fakeTerminal(size = { columns: 120, rows: 20 }) {
  let written = ''
  const modes: boolean[] = []
  const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: (raw: boolean) => modes.push(raw) })
  const stdout = Object.assign(
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        written += chunk.toString()
        done()
      },
    }),
    { isTTY: true, ...size },
  )
  return {
    stdin,
    stdout,
    type: (keys: string) => void stdin.write(keys),
    resize(to: { columns: number; rows: number }) {
      Object.assign(stdout, to)
      stdout.emit('resize')
    },
    written: () => written,
    /** Raw modes that were asked for, in order. */
    modes,
    /** The lines that are on the screen: of the last frame. */
    screen: (): string[] => linesOf(written),
    /** What stays on the terminal when the command is over. */
    remains: () => written.slice(written.lastIndexOf(left) + left.length),
  }
}

/** Of what was written to a terminal: the lines of the last frame that was painted. */
export function linesOf(written: string): string[] {
  const frames = written.split(`${esc}[H`).slice(1)
  const last = frames.at(-1)?.split(`${esc}[J`)[0] ?? ''
  return last.split('\r\n').map((line) => line.replace(`${esc}[K`, ''))
}
