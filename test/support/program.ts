import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export type Program = {
  pid: number
  /** The next line of its output, as JSON; `{ ended }` with its stderr when there is none any more. */
  // biome-ignore lint/suspicious/noExplicitAny: each program has answers of its own
  next(): Promise<any>
  /** Signals it and waits for its end. Does nothing when it has ended. */
  end(signal?: NodeJS.Signals): Promise<void>
}

export type ProgramOptions = { uid?: number; gid?: number; env?: Record<string, string>; within?: readonly string[] }

/**
 * Starts a TypeScript program of test/programs in a process of its own.
 * @param options.within a command that runs it, such as `unshare -n`; it must exec, so that the pid stays
 */
export function startProgram(name: string, args: readonly string[], options: ProgramOptions = {}): Program {
  const { env, within = [], ...account } = options
  const file = fileURLToPath(new URL(`../programs/${name}`, import.meta.url))
  const [command = '', ...rest] = [...within, process.execPath, file, ...args]
  const child = spawn(command, rest, { ...account, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  let errors = ''
  child.stderr.on('data', (data) => {
    errors += data
  })
  return {
    pid: child.pid ?? 0,
    async next() {
      const { done, value } = await lines.next()
      return done ? { ended: errors } : JSON.parse(value)
    },
    end: (signal = 'SIGTERM') => endChild(child, signal),
  }
}

async function endChild(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill(signal)
  await exit
}
