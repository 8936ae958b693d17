import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { FactBody } from '../../../src/domain/host-link.ts'
import type { RunId } from '../../../src/domain/ids.ts'
import { createHostWorld, type HostWorld } from '../../support/host-world.ts'
import { waitUntil } from '../../support/wait-until.ts'

type Heartbeat = Extract<FactBody, { type: 'HeartbeatRecorded' }>['data']

describe.each(['auto', 'off'] as const)('what a run takes of its machine, cgroups %s', (cgroups) => {
  let world: HostWorld
  beforeEach(async () => {
    world = await createHostWorld({ cgroups, heartbeatMaxIntervalMs: 200 })
  })
  afterEach(() => world.end())

  const heartbeats = (runId: RunId) =>
    world.ofRun(runId).flatMap(({ body }) => (body.type === 'HeartbeatRecorded' ? body.data : []))
  const heartbeat = (runId: RunId, fits: (heartbeat: Heartbeat) => boolean, what: string) =>
    waitUntil(
      () => heartbeats(runId).find(fits),
      what,
      15_000,
      () => JSON.stringify(heartbeats(runId)),
    )

  it('[R21] memory, CPU, open files and I/O of the whole tree; peaks with its summary', async () => {
    const allocate = 'const held = Buffer.alloc(120 << 20, 1); setInterval(() => held[0], 1e6)'
    const files = Array.from({ length: 50 }, (_, index) => `${index}`)
    const open = `const fs = require("fs"); const held = [${files}].map((n) => fs.openSync("f" + n, "w"));
      fs.writeSync(held[0], Buffer.alloc(5 << 20, 1)); fs.fsyncSync(held[0]); setInterval(() => held, 1e6)`
    const run = await world.launch(['sh', '-c', `"$0" -e '${allocate}' & exec "$0" -e '${open}'`, process.execPath])
    const { runId } = run
    await heartbeat(runId, ({ rssBytes = 0 }) => rssBytes > 120 << 20, 'the memory of both')
    const seen = await heartbeat(runId, ({ openFiles = 0 }) => openFiles > 60, 'the files of both')
    expect(seen.cpuMs).toBeGreaterThan(0)
    await heartbeat(runId, ({ ioWriteBytes = 0 }) => ioWriteBytes >= 5 << 20, 'what was written')
    await world.kill(run)
    const summary = await world.fact(runId, 'TelemetrySummarised')
    expect(summary).not.toHaveProperty('openFiles')
    expect(summary.peakOpenFiles).toBeGreaterThan(60)
    expect(summary.peakRssBytes).toBeGreaterThan(120 << 20)
    expect(summary.ioWriteBytes).toBeGreaterThanOrEqual(5 << 20)
  })

  it('[R21] what children have written is not forgotten when they end, nor when the host agent is another', async () => {
    const write = (name: string) => `head -c 3000000 /dev/zero >${name}; sync ${name}; sleep 0.7`
    const { runId } = await world.launch(['sh', '-c', `${write('a')}; sh -c "${write('b')}"; exec sleep 1000`])
    const total = ({ ioWriteBytes = 0 }: Heartbeat) => ioWriteBytes
    await heartbeat(runId, (each) => total(each) >= 6_000_000, 'all that was written')
    await world.restart()
    const before = heartbeats(runId).length
    await waitUntil(() => heartbeats(runId).length > before + 2, 'heartbeats of the next agent')
    const totals = heartbeats(runId).map(total)
    expect(totals).toEqual(totals.toSorted((a, b) => a - b))
  })
})
