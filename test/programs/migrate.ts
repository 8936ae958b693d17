// migrate.ts CONNECTION: migrates the database and prints {from, to}.
import { openPool } from '../../src/postgres/connection.ts'
import { migrate } from '../../src/postgres/migrate.ts'

const pool = openPool(JSON.parse(process.argv[2] ?? ''), { purpose: 'test' })
try {
  process.stdout.write(`${JSON.stringify(await migrate(pool))}\n`)
} finally {
  await pool.end()
}
