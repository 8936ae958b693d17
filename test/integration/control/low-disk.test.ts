import { spawnSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readConfig } from '../../../src/config.ts'
import { createAuditSpool } from '../../../src/control/audit-spool.ts'
import { createControl, type RunningControl } from '../../../src/control/create-control.ts'
import { dispatchCheckpoint } from '../../../src/dispatch-checkpoint.ts'
import type { LowDiskThreshold } from '../../../src/domain/low-disk.ts'
import { createHost, type Host } from '../../../src/host/host.ts'
import { openStore, type StoreConnection } from '../../../src/store-connection.ts'
import { recordingLog } from '../../support/control-world.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'
import { databaseUrlOf } from '../../support/server.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'
import { waitUntil } from '../../support/wait-until.ts'

const mebibyte = 1024 ** 2
const threshold: LowDiskThreshold = { bytes: 4 * mebibyte, percent: 0 }
const checkIntervalMs = 100

let database: TestDatabase
let directory: ReturnType<typeof makeTemporaryDirectory>
/** A small file system of its own. */
let disk: ReturnType<typeof makeTemporaryDirectory>
let host: Host
let connection: StoreConnection
let control: RunningControl
let isMounted: boolean
const { log, lines } = recordingLog()

async function serve(lowDisk = threshold): Promise<void> {
  connection = await openStore(readConfig({ DATABASE_URL: databaseUrlOf(database) }), undefined, directory.path, log)
  const diskPlaces = [
    { name: 'data', path: disk.path },
    { name: 'artifacts', path: join(disk.path, 'artifacts') },
  ]
  const hostDirectory = join(directory.path, 'host')
  host = await createHost({ hostDirectory, capacity: 1, log, sampleIntervalMs: checkIntervalMs, diskPlaces })
  control = createControl({
    ...{ ...connection, host, log, now: () => new Date(), checkIntervalMs, lowDisk, storeAway: connection.away },
    checkpoint: dispatchCheckpoint(directory.path),
    auditSpool: createAuditSpool(join(directory.path, 'audit-spool.jsonl'), log),
  })
  await host.start()
  await connection.connect(() => control.start(), new AbortController().signal)
  await waitUntil(async () => (await control.projections()).every(({ state }) => state === 'running'), 'all to follow')
  end = async () => {
    end = notServing
    await control.close()
    await host.close()
    await connection.close()
  }
}

const notServing = async () => {}
let end = notServing

beforeEach(async () => {
  database = await createTestDatabase()
  directory = makeTemporaryDirectory()
  disk = makeTemporaryDirectory()
  isMounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', disk.path]).status === 0
})
afterEach(async () => {
  await end()
  if (isMounted) spawnSync('umount', [disk.path])
  disk.remove()
  await database.drop()
  directory.remove()
})

const fill = (name: string, mebibytes: number) =>
  writeFileSync(join(disk.path, name), Buffer.alloc(mebibytes * mebibyte, 'x'))
const free = (name: string) => rmSync(join(disk.path, name))
const alerts = async () => (await control.alerts({}, { first: 10 })).items.map(({ item }) => item)
const readyCheck = async () => (await control.readiness()).checks.find(({ name }) => name === 'disk')

/** Two rounds of host and control, so that all that there is to say about the disk as it is now has been said. */
async function looked(): Promise<void> {
  for (let round = 0; round < 2; round += 1) {
    const { disks } = await host.report()
    const seenAt = disks[0]?.seenAt
    await waitUntil(async () => (await host.report()).disks[0]?.seenAt !== seenAt, 'the host to look again')
  }
}

async function recorded(): Promise<string[]> {
  const types: string[] = []
  const stream = `alert-disk-${host.hostId.slice('host_'.length)}-data`
  for await (const { type } of connection.store.readStream(stream, { direction: 'forwards', maxCount: 100 })) {
    types.push(type)
  }
  return types
}

describe('[R10] [R25] a disk that fills up', () => {
  it('raises one alert with what to do, which stays over a restart and goes with hysteresis', async (context) => {
    if (!isMounted) context.skip('a small file system cannot be mounted here (that needs root)')
    await serve()
    expect(await alerts()).toEqual([])
    await waitUntil(async () => (await readyCheck())?.detail.includes('16.0 MiB free'), 'the disk to be seen')
    expect(await readyCheck()).toMatchObject({ ok: true, advisory: true })

    fill('first', 11)
    fill('second', 2)
    const open = await waitUntil(async () => (await alerts())[0], 'the alert')
    expect(open).toMatchObject({
      ...{ kind: 'LOW_DISK', severity: 'CRITICAL', runId: null, workflow: null, resolvedAt: null },
      message: expect.stringMatching(
        /^Only 3\.0 MiB \(18\.8 %\) of 16\.0 MiB free for .*; the limit is 4\.0 MiB\. Free /,
      ),
      evidence: expect.arrayContaining([
        { fact: 'path', value: disk.path },
        { fact: 'holds', value: 'data, artifacts' },
        { fact: 'freeBytes', value: String(3 * mebibyte) },
      ]),
    })
    const ready = await control.readiness()
    expect(ready.checks.find(({ name }) => name === 'disk')).toMatchObject({
      ...{ ok: false, advisory: true, detail: expect.stringContaining('LOW: 3.0 MiB') },
    })
    expect(ready.ready).toBe(true)

    fill('third', 2)
    await looked()
    await end()
    await serve()
    await looked()
    expect(await recorded()).toEqual(['AlertRaised'])
    expect(lines.some((line) => line.includes('little room is left'))).toBe(true)

    // 4.5 MiB: more than the limit, but not by a quarter.
    free('third')
    free('second')
    fill('second', 0.5)
    await looked()
    expect(await recorded()).toEqual(['AlertRaised'])
    free('first')
    await waitUntil(async () => (await alerts())[0]?.resolvedAt !== null, 'the alert to be over')
    expect((await alerts())[0]?.why).toMatch(/^There is room again: 15\.5 MiB/)
    expect(await readyCheck()).toMatchObject({ ok: true })

    fill('first', 13)
    await waitUntil(async () => (await alerts())[0]?.resolvedAt === null, 'the alert to be back')
    expect(await recorded()).toEqual(['AlertRaised', 'AlertResolved', 'AlertRaised'])
    await end()
    await serve({ bytes: 0, percent: 0 })
    await waitUntil(async () => (await alerts())[0]?.resolvedAt !== null, 'nobody to be bothered any more')
  })
})
