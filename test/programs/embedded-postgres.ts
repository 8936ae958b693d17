// embedded-postgres.ts DIRECTORY: starts the embedded PostgreSQL there, says how that went, stops it on SIGTERM.
import { startEmbeddedPostgres } from '../../src/postgres/embedded.ts'

const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`)
const alive = setInterval(() => {}, 60_000)

try {
  const postgres = await startEmbeddedPostgres({ dataDirectory: process.argv[2] ?? '' })
  process.once('SIGTERM', () => void postgres.stop().finally(() => clearInterval(alive)))
  const { adopted, identity, account, connection } = postgres
  say({ adopted, identity, account, connection })
} catch (error) {
  const { code, message } = error as { code?: string; message: string }
  say({ code, message })
  clearInterval(alive)
}
