// A host that is not started kills one run, and dies by SIGKILL at the point it is told.
//   node emergency-kill.ts DIRECTORY KILL_JSON CRASH_POINT
import type { EmergencyKill } from '../../src/domain/host-link.ts'
import { createHost } from '../../src/host/host.ts'

const [hostDirectory = '', kill = '', point = ''] = process.argv.slice(2)
const request: EmergencyKill = JSON.parse(kill)
const log = { info() {}, warn() {}, error: (fields: object, message: string) => console.error(message, fields) }

const host = await createHost({
  ...{ hostDirectory, capacity: 1, log },
  crashPoint: (name) => {
    if (name === point) process.kill(process.pid, 'SIGKILL')
  },
})
await host.emergencyKill(request)
await host.awaitEnd(request.runId, true, new AbortController().signal)
await host.close()
