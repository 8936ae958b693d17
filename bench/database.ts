import { readdirSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readStat } from '../src/os/process-identity.ts'
import { readKernelFile } from '../src/os/read-kernel-file.ts'
import type { DatabaseConnection } from '../src/postgres/connection.ts'
import { startEmbeddedPostgres } from '../src/postgres/embedded.ts'

export type BenchDatabase = {
  connection: DatabaseConnection
  /** CPU time in milliseconds that its PostgreSQL has used so far, ended sessions included. */
  cpuMs(): number
}

/** Runs `work` with an embedded PostgreSQL of its own, of which nothing is left afterwards. */
export async function withDatabase<Result>(work: (database: BenchDatabase) => Promise<Result>): Promise<Result> {
  const dataDirectory = await mkdtemp(join(tmpdir(), 'runwarden-bench-'))
  // As root, PostgreSQL runs as another account and has to pass through here.
  await chmod(dataDirectory, 0o711)
  try {
    const postgres = await startEmbeddedPostgres({ dataDirectory })
    try {
      return await work({ connection: postgres.connection, cpuMs: () => cpuMsOf(postgres.identity.pid) })
    } finally {
      await postgres.stop()
    }
  } finally {
    await rm(dataDirectory, { recursive: true, force: true })
  }
}

/** Kernel and libc agree on 100 ticks a second. */
const msPerTick = 10

function cpuMsOf(postmaster: number): number {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  const sessions = pids.map((pid) => readStat(Number(pid))).filter((stat) => stat?.ppid === postmaster)
  const live = sessions.reduce((sum, stat) => sum + (stat?.utimeTicks ?? 0) + (stat?.stimeTicks ?? 0), 0)
  // After the command's closing parenthesis: utime, stime, and those of children that were waited for, from the 12th on.
  const text = readKernelFile(`/proc/${postmaster}/stat`)
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return (live + fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0)) * msPerTick
}
