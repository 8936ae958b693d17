import { spawnSync } from 'node:child_process'
import { accessSync, mkdirSync, readFileSync } from 'node:fs'
import { startProgram } from './program.ts'

/** Only root mounts, and not every kernel knows FUSE. */
export function canHang(): boolean {
  try {
    accessSync('/dev/fuse')
    return process.getuid?.() === 0 && /\bfuse$/m.test(readFileSync('/proc/filesystems', 'utf8'))
  } catch {
    return false
  }
}

/** Mounts a file system in a new directory: whoever touches it waits in state D, beyond the reach of SIGKILL. */
export async function mountHanging(path: string) {
  mkdirSync(path)
  const daemon = startProgram('hanging-filesystem.ts', [path])
  const answer = await daemon.next()
  if (answer.mounted !== true) throw new Error(`not mounted: ${answer.ended}`)
  const held = new Set<number>()
  const listen = async () => {
    for (let said = await daemon.next(); said.ended === undefined; said = await daemon.next()) held.add(said.holds)
  }
  const listening = listen()
  return {
    path,
    /** From now on no signal ends this process. */
    holds: (pid: number) => held.has(pid),
    /** Lets everybody go; those who were killed meanwhile end now. */
    async release(): Promise<void> {
      await daemon.end()
      await listening
      spawnSync('umount', ['-l', path])
    },
  }
}
