import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Makes `runwarden` a command that runs can call (`runwarden section`), whatever Node.js they have: their PATH is a clean
 * one. Written anew at each start, for Runwarden may have moved.
 * @param cli the command line of this Runwarden
 * @returns the directory for the end of their PATH
 */
export function makeCommands(hostDirectory: string, cli: readonly string[]): string {
  const directory = join(hostDirectory, 'bin')
  mkdirSync(directory, { recursive: true, mode: 0o711 })
  const command = join(directory, 'runwarden')
  writeFileSync(command, `#!/bin/sh\nexec ${cli.map(quoted).join(' ')} "$@"\n`)
  // For every account that a run may have, whatever this process's umask is.
  chmodSync(directory, 0o711)
  chmodSync(command, 0o755)
  return directory
}

const quoted = (word: string) => `'${word.replaceAll("'", "'\\''")}'`
