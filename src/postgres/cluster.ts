import { chown, mkdtemp, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Account, runAs } from './account.ts'
import type { Binaries } from './binaries.ts'
import { diskFull, EmbeddedPostgresError, explainFileError, saysDiskFull } from './embedded-error.ts'
import { runProgram } from './program.ts'

/** The superuser of the cluster. Who may be it is decided by the operating system's accounts (access.ts). */
export const superuser = 'runwarden'

const unfinishedPrefix = 'initializing-'
/** 0.8 s on an idle machine; a slow disk syncs 40 MB in this time. */
const initdbTimeoutMs = 5 * 60_000

/**
 * Makes the cluster where there is none. It comes into being by a rename, so one that was interrupted half way is
 * never taken for a whole one; its remains are removed. A cluster that exists is only checked for its version.
 * @param home the directory around it, which only we write in
 * @throws EmbeddedPostgresError OTHER_MAJOR_VERSION, NEWER_MAJOR_VERSION, DISK_FULL, PERMISSION_DENIED, START_FAILED
 */
export async function prepareCluster(
  home: string,
  account: Account,
  binaries: Binaries,
  signal?: AbortSignal,
): Promise<'made' | 'existing'> {
  const cluster = join(home, 'cluster')
  await removeUnfinished(home)
  const version = await readMajorVersion(cluster)
  if (version === undefined) {
    await initialize(home, cluster, account, binaries, signal)
    return 'made'
  }
  if (version !== binaries.majorVersion) throw wrongVersion(cluster, version, binaries.majorVersion)
  return 'existing'
}

async function removeUnfinished(home: string): Promise<void> {
  for (const name of await readdir(home)) {
    if (name.startsWith(unfinishedPrefix)) await removeTree(join(home, name))
  }
}

/** An initdb whose parent was killed may still be writing into what is being removed: hence the retries. */
const removeTree = (path: string) => rm(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })

/** undefined where there is no cluster. */
async function readMajorVersion(cluster: string): Promise<number | undefined> {
  try {
    return Number.parseInt(await readFile(join(cluster, 'PG_VERSION'), 'latin1'), 10)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw explainFileError(error, cluster)
  }
}

function wrongVersion(cluster: string, found: number, ours: number): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    found > ours ? 'NEWER_MAJOR_VERSION' : 'OTHER_MAJOR_VERSION',
    `${cluster} was written by PostgreSQL ${found}; this Runwarden brings ${ours}, which cannot read it. ` +
      `Nothing was changed. Start the Runwarden that wrote it, or set RUNWARDEN_DATA_DIR to another directory, or run a PostgreSQL ${found} on it and set DATABASE_URL.`,
  )
}

async function initialize(
  home: string,
  cluster: string,
  account: Account,
  binaries: Binaries,
  signal: AbortSignal | undefined,
): Promise<void> {
  const unfinished = await mkdtemp(join(home, unfinishedPrefix)).catch((error) => {
    throw explainFileError(error, home)
  })
  try {
    await chown(unfinished, account.uid, account.gid)
    await runInitdb(unfinished, account, binaries, signal)
    await rename(unfinished, cluster)
    await syncDirectory(home)
  } catch (error) {
    await removeTree(unfinished)
    throw explainFileError(error, home)
  }
}

async function runInitdb(
  directory: string,
  account: Account,
  binaries: Binaries,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { failure } = await runProgram(
    binaries.initdb,
    [
      `--pgdata=${directory}`,
      `--username=${superuser}`,
      '--auth=peer',
      '--data-checksums',
      '--encoding=UTF8',
      // Sorts the same on every machine: no dependence on the C library's or ICU's version.
      '--no-locale',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
    ],
    { ...runAs(account), timeoutMs: initdbTimeoutMs, signal },
  )
  if (failure === undefined) return
  if (saysDiskFull(failure)) throw diskFull(directory, new Error(failure))
  throw new EmbeddedPostgresError('START_FAILED', `initdb failed in ${directory}: ${failure}`)
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
