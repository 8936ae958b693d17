import { readFileSync } from 'node:fs'
import { chmod, lstat, rename, rmdir, unlink } from 'node:fs/promises'
import { isGone } from '../../os/process-identity.ts'
import { command, failureOf } from './command.ts'

const removeTimeoutMs = 10 * 60_000

/**
 * Removes a directory and all that is in it, in two steps: moved first to where no account but ours can go, so that
 * nobody swaps a directory for a link meanwhile; then by `rm`, which follows no link and bears trees of any depth.
 * Doing it again goes on from where it was left.
 * @param trash on the same file system, in a directory of ours
 * @returns whether there was anything
 * @throws when something stands in the way: a mount below it, a file that may not be removed
 */
export async function removeTree(path: string, trash: string, signal?: AbortSignal): Promise<boolean> {
  refuseMounts(path)
  const wasThere = await isThere(path)
  if (wasThere && path !== trash) {
    await removeAll(trash, signal)
    await move(path, trash)
  }
  await removeAll(trash, signal)
  return wasThere
}

export async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (error) {
    if (isGone(error)) return false
    throw error
  }
}

async function move(from: string, to: string): Promise<void> {
  try {
    await rename(from, to)
  } catch (error) {
    // A directory that its own owner may not write to cannot be moved.
    if ((error as NodeJS.ErrnoException).code !== 'EACCES' || !(await lstat(from)).isDirectory()) throw error
    await chmod(from, 0o700)
    await rename(from, to)
  }
}

async function removeAll(path: string, signal?: AbortSignal): Promise<void> {
  if (!(await isThere(path)) || (await removedAtOnce(path))) return
  const remove = () =>
    command({
      ...{ argv: ['rm', '-rf', '--', path], account: undefined, outputBytesMax: 0, timeoutMs: removeTimeoutMs },
      ...{ environment: {}, signal },
    })
  if ((await remove()).status === 0) return
  // What fails here shows in the second attempt.
  const argv = ['chmod', '-R', 'u+rwx', '--', path]
  await command({ argv, account: undefined, outputBytesMax: 0, timeoutMs: removeTimeoutMs, signal })
  const second = await remove()
  if (second.status !== 0) throw failureOf('rm', second)
}

/** Most directories are empty, and a process costs more than this. */
async function removedAtOnce(path: string): Promise<boolean> {
  try {
    if ((await lstat(path)).isDirectory()) await rmdir(path)
    else await unlink(path)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'EACCES' || code === 'EPERM') return false
    throw error
  }
}

/** Another file system that is mounted below is not the run's to lose. */
export function refuseMounts(path: string): void {
  const mount = mountPoints().find((point) => point === path || point.startsWith(`${path}/`))
  if (mount !== undefined) throw new Error(`A file system is mounted at ${mount}; unmount it first.`)
}

/** Of this process's own mount namespace: nobody can remove what only others see. */
const mountPoints = () =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .map((point) => point.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8))))
