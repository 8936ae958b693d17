import { setTimeout } from 'node:timers/promises'
import type { DownOptions, DownResult } from './cli/composed.ts'
import { resolveDataDirectory } from './os/data-directory.ts'
import { readOwner } from './os/ownership.ts'
import { isAlive, machineIdentity } from './os/process-identity.ts'

/** Stops the server that owns the data directory, found by its identity and signalled only after that was checked. */
export async function down(options: DownOptions, env: NodeJS.ProcessEnv): Promise<DownResult> {
  const directory = resolveDataDirectory(env, process.getuid?.() ?? -1)
  const owner = await readOwner(directory)
  if (owner === undefined || !owner.alive) {
    return { type: 'not-running', detail: `No server owns the data directory ${directory}.` }
  }
  const { identity } = owner
  if (identity.pidNamespace !== machineIdentity().pidNamespace) {
    return {
      type: 'refused',
      message: `The server runs in another pid namespace (as pid ${identity.pid} there).`,
      wayOut: 'Stop it from where it was started, for instance with "docker compose stop".',
    }
  }
  try {
    if (isAlive(identity)) process.kill(identity.pid, 'SIGTERM')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error
    return {
      type: 'refused',
      message: `The server (pid ${identity.pid}) belongs to another user.`,
      wayOut: 'Run this as the account that started it.',
    }
  }
  const deadline = Date.now() + options.timeoutMs
  while (isAlive(identity)) {
    if (Date.now() > deadline) {
      return { type: 'timeout', pid: identity.pid, message: stillThere(identity.pid, options) }
    }
    await setTimeout(20)
  }
  return { type: 'stopped', pid: identity.pid }
}

const stillThere = (pid: number, { timeoutMs }: DownOptions) =>
  `It (pid ${pid}) has not stopped within ${timeoutMs / 1000} s: it waits for its PostgreSQL, or hangs. Its log says more. ` +
  `Ask again, or in the last resort end it with \`kill -9 ${pid}\`: runs live on, and the next start takes everything up.`
