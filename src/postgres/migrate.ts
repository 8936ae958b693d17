import { readdirSync, readFileSync } from 'node:fs'
import type pg from 'pg'
import { withTransaction } from './connection.ts'

/** The database was migrated by a newer Runwarden than this one. Nothing was changed. */
export class DatabaseTooNew extends Error {
  override readonly name = 'DatabaseTooNew'
  /** The newest migration in the database. */
  readonly database: number
  /** The newest migration this version brings. */
  readonly supported: number

  constructor(database: number, supported: number) {
    super(
      `the database is at version ${database}, this Runwarden knows versions up to ${supported}: a newer Runwarden has ` +
        `upgraded it. Start that version again, or restore a backup from before the upgrade.`,
    )
    this.database = database
    this.supported = supported
  }
}

type Migration = { id: number; name: string; sql: string }

const directory = new URL('./migrations/', import.meta.url)

/** `NNNN-name.sql`, in order of their number. */
function readMigrations(): Migration[] {
  return readdirSync(directory)
    .filter((file) => /^\d{4}-.+\.sql$/.test(file))
    .sort()
    .map((file) => ({
      id: Number(file.slice(0, 4)),
      name: file.slice(5, -'.sql'.length),
      sql: readFileSync(new URL(file, directory), 'utf8'),
    }))
}

/**
 * Brings the database up to this version. Safe when several processes do it at once; on an up-to-date database it is
 * one query.
 *
 * @returns the versions before and after; 0 is an empty database.
 * @throws DatabaseTooNew
 */
export async function migrate(pool: pg.Pool): Promise<{ from: number; to: number }> {
  const migrations = readMigrations()
  const supported = migrations.at(-1)?.id ?? 0
  const from = (await versionOf(pool)) ?? (await prepare(pool))
  if (from > supported) throw new DatabaseTooNew(from, supported)
  for (const migration of migrations) {
    if (migration.id > from) await apply(pool, migration)
  }
  return { from, to: supported }
}

/** undefined where there is no table of migrations. */
async function versionOf(pool: pg.Pool): Promise<number | undefined> {
  try {
    const { rows } = await pool.query('select coalesce(max(id), 0) as version from event_store.migrations')
    return rows[0].version
  } catch (error) {
    if (hasCode(error, undefinedTable, undefinedSchema)) return undefined
    throw error
  }
}

async function prepare(pool: pg.Pool): Promise<number> {
  try {
    await pool.query(`
      create schema if not exists event_store;
      create table if not exists event_store.migrations (
        id integer primary key,
        name text not null,
        migrated_at timestamptz not null default now()
      )`)
  } catch (error) {
    // "if not exists" looks before the other process commits, and so can clash with it all the same.
    if (!hasCode(error, uniqueViolation, duplicateSchema, duplicateTable)) throw error
  }
  const version = await versionOf(pool)
  if (version === undefined) throw new Error('the table event_store.migrations was removed while it was made')
  return version
}

/** The id goes in first: a second migrator waits there, and then clashes before it has done anything. */
async function apply(pool: pg.Pool, { id, name, sql }: Migration): Promise<void> {
  await withTransaction(pool, async (client) => {
    const { rowCount } = await client.query(
      'insert into event_store.migrations (id, name) values ($1, $2) on conflict (id) do nothing',
      [id, name],
    )
    if (rowCount === 1) await client.query(sql)
  })
}

const undefinedTable = '42P01'
const undefinedSchema = '3F000'
const uniqueViolation = '23505'
const duplicateSchema = '42P06'
const duplicateTable = '42P07'

const hasCode = (error: unknown, ...codes: string[]) =>
  error instanceof Error && codes.includes((error as Error & { code?: string }).code ?? '')
