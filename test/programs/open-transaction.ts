// Moves money between two accounts, and never gets to the end of it.
//   node open-transaction.ts '{"host", "port", "user", "database"}'
import pg from 'pg'

const client = new pg.Client(JSON.parse(process.argv[2] ?? ''))
await client.connect()
await client.query('begin')
await client.query('update accounts set balance = balance - 40 where id = 1')
process.stdout.write('in the middle\n')
// The database sees at once that an idle client has gone; one whose statement runs, only when that is over.
setInterval(() => {}, 1_000)
