// append-events.ts STORE NAME COUNT: appends COUNT events, three at once, to the streams NAME-0 … NAME-2; prints
// {id, position, revision} of each one as soon as it is acknowledged.
import { writeSync } from 'node:fs'
import { openStore } from '../support/event-stores.ts'
import { newEvent } from '../support/new-event.ts'

const [address = '', name = '', count = ''] = process.argv.slice(2)
const store = openStore(JSON.parse(address))
let left = Number(count)

async function writeOn(worker: number): Promise<void> {
  while (left > 0) {
    left -= 1
    const event = newEvent({ name, left })
    const result = await store.append(`${name}-${worker}`, [event], 'any')
    if (result.outcome !== 'appended' || result.duplicate) throw new Error(`not appended: ${JSON.stringify(result)}`)
    const { position, revision } = result
    // At once and whole, so that what was acknowledged before a SIGKILL has been told.
    writeSync(1, `${JSON.stringify({ id: event.metadata.eventId, position, revision })}\n`)
  }
}

await Promise.all([0, 1, 2].map(writeOn))
await store.close()
