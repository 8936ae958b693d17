// read-events.ts STORE AFTER: subscribes to every event after that position; prints {position, revision, stream, id} of
// each one as soon as it has it, until it is ended.
import { writeSync } from 'node:fs'
import { openStore } from '../support/event-stores.ts'

const [address = '', after = ''] = process.argv.slice(2)
const store = openStore(JSON.parse(address))

for await (const { events } of store.subscribe({ after: Number(after), signal: new AbortController().signal })) {
  const lines = events.map(({ position, revision, stream, metadata }) =>
    JSON.stringify({ position, revision, stream, id: metadata.eventId }),
  )
  if (lines.length > 0) writeSync(1, `${lines.join('\n')}\n`)
}
