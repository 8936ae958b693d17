// connect.ts SOCKET_DIRECTORY USER: tries to get into the embedded PostgreSQL and says what came of it.
import pg from 'pg'

const [host, user] = process.argv.slice(2)
const client = new pg.Client({ host, user, port: 5432, database: 'postgres', ssl: false })
client.on('error', () => {})
try {
  await client.connect()
  process.stdout.write('{"connected":true}\n')
} catch (error) {
  const { code, message } = error as { code?: string; message: string }
  process.stdout.write(`${JSON.stringify({ code, message })}\n`)
} finally {
  await client.end()
}
