import type pg from 'pg'
import { StoreUnavailable } from '../../event-store/event-store.ts'
import { isUnavailable } from '../../postgres/connection.ts'

/**
 * One read over the projections' tables.
 * @throws StoreUnavailable while the database is away, or while the tables have not been built yet.
 */
export async function ask<Row extends object>(pool: pg.Pool, text: string, values: unknown[]): Promise<Row[]> {
  try {
    return (await pool.query<Row>(text, values)).rows
  } catch (error) {
    if (isUnavailable(error)) {
      throw new StoreUnavailable(`the database cannot be reached: ${(error as Error).message}`, { cause: error })
    }
    if ((error as { code?: unknown }).code === undefinedTable) {
      throw new StoreUnavailable('the projections are being built; their state says how far they are', { cause: error })
    }
    throw error
  }
}

const undefinedTable = '42P01'

/** Collects a statement's values; `$` gives each one's place holder. */
export function placeholders() {
  const values: unknown[] = []
  return { values, $: (value: unknown) => `$${values.push(value)}` }
}
