import { execFile } from 'node:child_process'
import { accessSync, constants, globSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import type { DatabaseConnection } from '../src/postgres/connection.ts'

const run = promisify(execFile)

/** PostgreSQL's own benchmark, where the machine has it: on the PATH, or where Debian hides it. */
export function findPgbench(): string | undefined {
  const onPath = (process.env.PATH ?? '').split(delimiter).map((directory) => join(directory, 'pgbench'))
  return [...onPath, ...globSync('/usr/lib/postgresql/*/bin/pgbench')].find(isExecutable)
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** simple: as pgbench does unless told otherwise. prepared: parsed and planned once. */
export type Protocol = 'simple' | 'prepared'

/** What one client reaches, each statement a transaction. */
export async function insertsPerSecond(
  pgbench: string,
  connection: DatabaseConnection,
  protocol: Protocol,
  statement: string,
  ms: number,
): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'runwarden-bench-'))
  try {
    const script = join(directory, 'insert.sql')
    await writeFile(script, statement)
    const { host, port, user, database } = connection
    const where = ['-h', String(host), '-p', String(port), '-U', String(user), String(database)]
    const how = [
      '--no-vacuum',
      `--protocol=${protocol}`,
      '--client=1',
      `--time=${Math.ceil(ms / 1000)}`,
      `--file=${script}`,
    ]
    const { stdout } = await run(pgbench, [...how, ...where])
    const rate = /^tps = ([\d.]+)/m.exec(stdout)?.[1]
    if (rate === undefined) throw new Error(`pgbench did not tell its rate: ${stdout}`)
    return Number(rate)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}
