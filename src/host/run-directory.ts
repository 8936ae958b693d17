import { closeSync, constants, fchownSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs'
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { RunId } from '../domain/ids.ts'
import { isGone } from '../os/process-identity.ts'

/** Where everything of one run lies on its host. */
export type RunPaths = ReturnType<typeof runPaths>

export function runPaths(hostDirectory: string, runId: RunId) {
  const directory = join(hostDirectory, 'runs', runId)
  const inside = (name: string) => join(directory, name)
  return {
    directory,
    desired: inside('desired.json'),
    facts: inside('facts.jsonl'),
    acknowledged: inside('acknowledged'),
    /** Cleaned, and every fact acknowledged: nothing is left to do for this run. */
    finished: inside('finished'),
    /** Made once, before the first attempt to launch. */
    launch: inside('launch'),
    claim: (attempt: number) => inside(`claim-${attempt}`),
    root: inside('root'),
    shim: inside('shim'),
    exit: inside('exit'),
    output: inside('output.log'),
    olderOutput: inside('output.1.log'),
    outputOffsets: inside('output.json'),
    ladder: inside('ladder.jsonl'),
    pause: inside('pause.json'),
    strays: inside('strays.json'),
    /** The run's own: its account may write here. */
    io: inside('io'),
    progress: inside('io/progress.jsonl'),
    temporary: inside('io/tmp'),
    /** Where temporary files are moved, out of the run's account's reach, before they are removed. */
    trash: inside('trash'),
    workspace: join(hostDirectory, 'workspaces', runId),
    workspaceTrash: inside('workspace-trash'),
    /** What was made where the workspace is a git worktree. */
    worktree: inside('worktree.json'),
    /** A git directory with a configuration of ours; the run's account may read it. */
    git: inside('git'),
    /** The run's account may write here while its workspace is salvaged. */
    scratch: inside('scratch'),
    /** What was kept of the workspace. */
    artifacts: join(hostDirectory, 'artifacts', runId),
  }
}

/** Readers see the old content or the new one; it is on the disk when this resolves. */
export async function writeAtomically(path: string, content: string): Promise<void> {
  const temporary = `${path}.new`
  const file = await open(temporary, 'w', 0o600)
  try {
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
  await syncDirectory(dirname(path))
}

export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY)
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

export async function makeDirectory(path: string, mode: number): Promise<void> {
  await mkdir(path, { mode, recursive: true })
}

export async function readJson<Content>(path: string): Promise<Content | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Content
  } catch (error) {
    if (isGone(error)) return undefined
    throw new Error(`${path} cannot be read`, { cause: error })
  }
}

/** Slots are small files that a shell fills in place, so that it needs no free block on the disk. */
const slotBytes = 128

/**
 * Makes the slot unless it is there.
 * @throws ENOSPC and the like
 */
export function makeSlot(path: string): void {
  let fd: number
  try {
    fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return
    throw error
  }
  try {
    writeSync(fd, ' '.repeat(slotBytes))
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** What was written into the slot, without its end mark; undefined while that is not whole. */
export function readSlot(path: string): string | undefined {
  try {
    return /^([^\n]*) \.\n/.exec(readFileSync(path, 'latin1'))?.[1]
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

/** Opens a file of the run's account for appending; that account may open it again (`> /dev/stderr`). */
export function openForAppending(path: string, owner: { uid: number; gid: number } | undefined): number {
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW, 0o600)
  if (owner !== undefined) fchownSync(fd, owner.uid, owner.gid)
  return fd
}
