// One statement, as whatever account this runs under; prints its rows as JSON.
//   node query.ts '{"host", "port", "user", "database"}' SQL
import pg from 'pg'

const client = new pg.Client(JSON.parse(process.argv[2] ?? ''))
await client.connect()
const { rows } = await client.query(process.argv[3] ?? '')
process.stdout.write(JSON.stringify(rows))
await client.end()
