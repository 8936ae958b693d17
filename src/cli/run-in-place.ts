import { spawn } from 'node:child_process'
import type { CliDeps } from './deps.ts'

/** How a command ended. `error`: it could not be started, and `status` is what a shell would say of that. */
export type Ending = { status: number; error?: string } | { signal: NodeJS.Signals; error?: undefined }

/** What somebody may send this process in the place of the command. */
const passedOn = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const
/** A terminal sends these to both. */
const fromTerminal = ['SIGINT', 'SIGQUIT'] as const

/** Runs a command with this process's streams, environment and directory, and passes signals on to it. */
export function runInPlace(file: string, args: readonly string[], { env, cwd }: CliDeps): Promise<Ending> {
  const hasTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY
  const handlers = new Map<NodeJS.Signals, () => void>()
  for (const signal of passedOn) handlers.set(signal, () => child.kill(signal))
  for (const signal of fromTerminal) handlers.set(signal, () => hasTerminal || child.kill(signal))
  // Before there is a command that a signal could leave alone; what comes meanwhile is handled after this function.
  for (const [signal, handler] of handlers) process.on(signal, handler)
  const child = spawn(file, args, { stdio: 'inherit', env: { ...env }, cwd })
  return new Promise((resolve) => {
    const done = (ending: Ending) => {
      for (const [signal, handler] of handlers) process.removeListener(signal, handler)
      resolve(ending)
    }
    child.once('error', (error: NodeJS.ErrnoException) => {
      done({ status: error.code === 'ENOENT' ? 127 : 126, error: `${file}: ${error.message}` })
    })
    child.once('exit', (status, signal) => done(signal === null ? { status: status ?? 1 } : { signal }))
  })
}

/** Ends this process the way the command ended: nobody who waits for it sees a difference. */
export function endAs(ending: Ending, end: (status: number) => void): void {
  if ('signal' in ending) process.kill(process.pid, ending.signal)
  else end(ending.status)
}
