// fake-kurrentdb.ts [PORT]: a fake KurrentDB server on loopback, in memory, until it is ended; prints {connectionString}.
import { startFakeKurrentDb } from '../support/kurrentdb/fake-server.ts'

/** As docs/how-to/kurrentdb.md sets it on a real server. */
const maxAppendBytes = 16 * 1024 * 1024

const fake = await startFakeKurrentDb({ port: Number(process.argv[2] ?? 0), maxAppendBytes })
console.log(JSON.stringify({ connectionString: fake.connectionString() }))
