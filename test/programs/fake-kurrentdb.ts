// fake-kurrentdb.ts [PORT]: a fake KurrentDB server on loopback, in memory, until it is ended; prints {connectionString}.
import { startFakeKurrentDb } from '../support/kurrentdb/fake-server.ts'

const fake = await startFakeKurrentDb({ port: Number(process.argv[2] ?? 0) })
console.log(JSON.stringify({ connectionString: fake.connectionString() }))
