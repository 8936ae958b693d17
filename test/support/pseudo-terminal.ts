import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'

/** util-linux's script(1) makes a real one; a bare machine may have none. */
const script = '/usr/bin/script'
export const hasPseudoTerminal = process.platform === 'linux' && existsSync(script)

export type PseudoTerminal = {
  type(keys: string): void
  written(): string
  /** Settles with the exit status of the shell line, once everything is read. */
  ended: Promise<number | null>
  child: ChildProcess
}

/** Runs a line of shell on a terminal of its own; ends within `limitMs` by whatever means. */
export function onPseudoTerminal(line: string, env: Record<string, string>, limitMs = 60_000): PseudoTerminal {
  const child = spawn(script, ['-qefc', line, '/dev/null'], {
    env: { PATH: process.env.PATH, SHELL: '/bin/sh', TERM: 'xterm-256color', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  const limit = setTimeout(() => child.kill('SIGTERM'), limitMs)
  const ended = once(child, 'close').then(([code]) => {
    clearTimeout(limit)
    return code as number | null
  })
  return { type: (keys) => void child.stdin.write(keys), written: () => text, ended, child }
}
