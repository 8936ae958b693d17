// import-history.ts STORE FILE: imports FILE; prints {phase, events} after every step.
import { writeSync } from 'node:fs'
import { openStore } from '../support/event-stores.ts'
import { bring } from '../support/history-world.ts'

const [address = '', file = ''] = process.argv.slice(2)
const store = openStore(JSON.parse(address))
const progress = (phase: string, events: number) => writeSync(1, `${JSON.stringify({ phase, events })}\n`)
await bring(file, store, { progress })
await store.close()
