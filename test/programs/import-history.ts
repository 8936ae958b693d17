// import-history.ts STORE FILE: begins to import FILE; prints {phase, events} after the first step, and stands still.
import { writeSync } from 'node:fs'
import { openStore } from '../support/event-stores.ts'
import { bring } from '../support/history-world.ts'

const [address = '', file = ''] = process.argv.slice(2)
const store = openStore(JSON.parse(address))
const progress = (phase: string, events: number) => {
  writeSync(1, `${JSON.stringify({ phase, events })}\n`)
  // So that a SIGKILL finds it here, however busy the machine is.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
}
await bring(file, store, { progress })
await store.close()
