// A host in a process of its own: launches one run, kills it once it runs, and dies by SIGKILL at the point it is told.
//   node host.ts DIRECTORY DESIRED_JSON KILL_JSON CRASH_POINT CGROUPS [KILL_ON]
// KILL_ON: the fact upon which it kills, RunStarted by default. With RunResumed the run is paused and resumed first.
// A run whose kill waits is told to leave its section.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DesiredRun } from '../../src/domain/host-link.ts'
import { createHost } from '../../src/host/host.ts'
import { waitUntil } from '../support/wait-until.ts'

const [hostDirectory = '', desired = '', kill = '', point = '', cgroups = 'auto', killOn = 'RunStarted'] =
  process.argv.slice(2)
const run: DesiredRun = JSON.parse(desired)
const hasRun = () => existsSync(join(hostDirectory, 'workspaces', run.runId, 'ran'))
const log = { info() {}, warn() {}, error: (fields: object, message: string) => console.error(message, fields) }

const host = await createHost({
  ...{ hostDirectory, capacity: 1, log, sampleIntervalMs: 100 },
  cgroups: cgroups === 'off' ? 'off' : 'auto',
  crashPoint: (name) => {
    if (name === point) process.kill(process.pid, 'SIGKILL')
  },
})
await host.start()
await host.want(run)
for await (const facts of host.facts(new AbortController().signal)) {
  for (const { body } of facts) {
    const paused = body.type === 'RunStarted' ? true : body.type === 'RunPaused' ? false : undefined
    if (killOn === 'RunResumed' && paused !== undefined) {
      await host.want({ ...run, pause: { paused, revision: paused ? 5 : 6 } })
      continue
    }
    // Not before it is at work: what it does then is what the next host is asked about.
    if (killOn === 'RunStarted' && body.type === killOn && kill !== '') await waitUntil(hasRun, 'the run to begin')
    if (body.type === killOn && kill !== '') await host.want({ ...run, kill: JSON.parse(kill) })
    if (body.type === 'KillDeferred') writeFileSync(join(hostDirectory, 'workspaces', run.runId, 'leave'), '')
    if (body.type === 'RunCleaned') process.exit(0)
  }
}
