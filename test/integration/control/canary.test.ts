import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readConfig } from '../../../src/config.ts'
import { createAuditSpool } from '../../../src/control/audit-spool.ts'
import type { CanaryResult } from '../../../src/control/canary-log.ts'
import type { RequestContext } from '../../../src/control/control.ts'
import { type ControlDeps, createControl, type RunningControl } from '../../../src/control/create-control.ts'
import { dispatchCheckpoint } from '../../../src/dispatch-checkpoint.ts'
import type { HostLink } from '../../../src/domain/host-link.ts'
import { createHost, type Host } from '../../../src/host/host.ts'
import { openStore, type StoreConnection } from '../../../src/store-connection.ts'
import { recordingLog } from '../../support/control-world.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'
import { killThoseOf } from '../../support/host-world.ts'
import { databaseUrlOf } from '../../support/server.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'
import { waitUntil } from '../../support/wait-until.ts'

/** The real control on a real host and a real store: a server without doors. */
let database: TestDatabase
let directory: ReturnType<typeof makeTemporaryDirectory>
let host: Host
let connection: StoreConnection
let control: RunningControl
const { log } = recordingLog()
const context: RequestContext = { actor: { kind: 'user', id: 'ada' }, correlationId: 'test' }

async function serve(
  changes: Partial<ControlDeps> & { capacity?: number; link?: (host: Host) => HostLink } = {},
): Promise<void> {
  const { capacity = 4, link = (real) => real, ...more } = changes
  connection = await openStore(readConfig({ DATABASE_URL: databaseUrlOf(database) }), undefined, directory.path, log)
  host = await createHost({ hostDirectory: join(directory.path, 'host'), capacity, log, sampleIntervalMs: 500 })
  control = createControl({
    ...connection,
    host: link(host),
    checkpoint: dispatchCheckpoint(directory.path),
    auditSpool: createAuditSpool(join(directory.path, 'audit-spool.jsonl'), log),
    ...{ log, now: () => new Date(), checkIntervalMs: 500, storeAway: connection.away, ...more },
  })
  await host.start()
  await connection.connect(() => control.start(), new AbortController().signal)
  await waitUntil(async () => (await control.projections()).every(({ state }) => state === 'running'), 'all to follow')
}

async function end(): Promise<void> {
  await control.close()
  await host.close()
  await connection.close()
}

beforeEach(async () => {
  database = await createTestDatabase()
  directory = makeTemporaryDirectory()
})
afterEach(async () => {
  await end()
  killThoseOf(directory.path)
  await database.drop()
  directory.remove()
})

/** Once the server has settled what was before it. */
async function runCanary(): Promise<CanaryResult> {
  return waitUntil(async () => {
    const answer = await control.runCanary(context)
    if (answer.type !== 'RunCanaryAnswer') throw new Error(answer.message)
    return !/just started/.test(answer.result.message ?? '') && answer.result
  }, 'a canary')
}

const results = async () => (await control.canary(20)).results
const alerts = async () => (await control.alerts({}, { first: 10 })).items.map(({ item }) => item)
const readyCheck = async () => (await control.readiness()).checks.find(({ name }) => name === 'canary')

async function startRun(command: string[]): Promise<string> {
  const answer = await control.startRun(context, { command, idempotencyKey: randomUUID() })
  if (answer.type !== 'StartRunAnswer') throw new Error(answer.type)
  return answer.run.runId
}

describe('[M2] the readiness canary', () => {
  it('kills a decoy that escapes and hears no SIGTERM, and shows that nobody of it is left', async () => {
    await serve()
    const passed = await runCanary()
    expect(passed, passed.message ?? '').toMatchObject({ outcome: 'PASSED', trigger: 'request', phase: null })
    expect(passed.processes).toBeGreaterThanOrEqual(3)
    const { sigtermMs = 0, sigkillMs = 0, provenMs = 0 } = passed.timings
    expect(sigkillMs).toBeGreaterThan(sigtermMs)
    expect(provenMs).toBeGreaterThanOrEqual(sigkillMs)
    expect(Object.keys(passed.timings).toSorted()).toEqual(
      ['answeredMs', 'provenMs', 'readyMs', 'sigkillMs', 'sigtermMs'].toSorted(),
    )
    expect((await results())[0]).toEqual(passed)
    const decoy = await control.run(passed.runId)
    expect(decoy).toMatchObject({ status: 'KILLED', workflow: 'runwarden-canary', receipt: { proven: true } })
    expect(await readyCheck()).toMatchObject({ ok: true, detail: expect.stringContaining('passed') })
    expect(await alerts()).toEqual([])
    const [own, others] = [
      await control.runs({ canary: true }, { first: 9 }),
      await control.runs({ canary: false }, { first: 9 }),
    ]
    expect(own.items.map(({ item }) => item.runId)).toContain(passed.runId)
    expect(others.items).toEqual([])
  })

  it('has its name for itself: nobody else starts, defines, registers or restarts a run of that workflow', async () => {
    await serve()
    const { runId } = await runCanary()
    const named = { workflow: 'runwarden-canary', command: ['sleep', '1000'] }
    const refused = {
      type: 'InvalidInput',
      message: expect.stringMatching(/"runwarden-canary", which only the readiness canary's own decoys are called/),
    }
    expect(await control.startRun(context, named)).toMatchObject(refused)
    expect(await control.startRun(context, { workflow: 'runwarden-canary' })).toMatchObject(refused)
    expect(await control.defineWorkflow(context, { name: 'runwarden-canary', command: ['true'] })).toMatchObject(
      refused,
    )
    const ours = { pid: process.pid, workflow: 'runwarden-canary' }
    expect(await control.registerProcess(context, ours)).toMatchObject(refused)
    expect(await control.restartRun(context, { runId })).toMatchObject({
      type: 'NotRestartable',
      message: expect.stringContaining('runwarden canary'),
    })
    const { items } = await control.runs({ canary: true }, { first: 9 })
    expect(items.map(({ item }) => item.runId)).toEqual([runId])
  })

  it('never overlaps itself: who asks meanwhile gets the same result', async () => {
    await serve()
    await runCanary()
    const answers = await Promise.all([1, 2, 3].map(() => control.runCanary(context)))
    const runIds = answers.map((answer) => answer.type === 'RunCanaryAnswer' && answer.result.runId)
    expect(new Set(runIds).size).toBe(1)
    expect(answers.map((answer) => answer.type === 'RunCanaryAnswer' && answer.joined)).toEqual([false, true, true])
  })

  it('comes by itself, again and again', async () => {
    await serve({ canaryIntervalMs: 300 })
    const passed = await waitUntil(async () => {
      const found = (await results()).filter(({ outcome }) => outcome === 'PASSED')
      return found.length >= 2 && found
    }, 'two canaries')
    expect(passed.map(({ trigger }) => trigger)).toEqual(passed.map(() => 'schedule'))
    expect(passed[0]?.requestedBy).toEqual({ kind: 'monitor', id: 'canary' })
    expect((await control.canary(1)).nextAt).not.toBeNull()
  })

  it('runs come first: without a free slot it is skipped, says so, and nothing is judged by it', async () => {
    await serve({ capacity: 1 })
    await runCanary()
    const run = await startRun(['sleep', '1000'])
    await waitUntil(async () => (await control.run(run))?.status === 'RUNNING', 'the run to run')
    expect(await runCanary()).toMatchObject({ outcome: 'SKIPPED', message: 'No slot is free; runs come first.' })
    expect(await readyCheck()).toMatchObject({ ok: true, detail: expect.stringMatching(/^passed .*skipped/) })
    await control.killRun(context, { runId: run, force: true })
  })

  it('fails where a receipt does not name all of the decoy; that is an alert until the next one passes', async () => {
    let blind = true
    await serve({
      // A host that does not see daemons, and says "proven" all the same.
      link: (real) => ({
        ...real,
        async *facts(signal) {
          for await (const batch of real.facts(signal)) {
            yield batch.map((fact) => {
              if (!blind || fact.body.type !== 'TreeGone') return fact
              const { receipt } = fact.body.data
              const processes = receipt.processes.filter(({ foundBy }) => foundBy.includes('root'))
              return { ...fact, body: { ...fact.body, data: { receipt: { ...receipt, processes } } } }
            })
          }
        },
      }),
    })
    const failed = await runCanary()
    expect(failed).toMatchObject({ outcome: 'FAILED', phase: 'proof', message: expect.stringMatching(/does not show/) })
    const [raised] = await waitUntil(async () => {
      const found = await alerts()
      return found.length > 0 && found
    }, 'the alert')
    expect(raised).toMatchObject({ kind: 'CANARY_FAILED', severity: 'CRITICAL', runId: failed.runId, resolvedAt: null })
    const readiness = await control.readiness()
    expect(await readyCheck()).toMatchObject({ ok: false, advisory: true, detail: expect.stringContaining('failed') })
    expect(readiness.ready).toBe(readiness.checks.every(({ ok, name }) => ok || name === 'canary'))
    // Neither the end of the decoy nor a new server resolves it.
    await end()
    await serve()
    blind = false
    await waitUntil(async () => (await readyCheck())?.ok === false, 'what is known to be remembered')
    expect((await alerts()).map(({ resolvedAt }) => resolvedAt)).toEqual([null])
    expect(await runCanary()).toMatchObject({ outcome: 'PASSED' })
    await waitUntil(async () => (await alerts()).every(({ resolvedAt }) => resolvedAt !== null), 'the alert to be over')
    expect(await alerts()).toHaveLength(1)
  })

  it('[R14] one that its server left in the middle is settled by the next: its decoy does not live on', async () => {
    await serve({
      // Whoever asks for the kill is gone before it is recorded.
      link: (real) => ({ ...real, readOutput: async () => undefined }),
    })
    // Of a server that has just started the first ones are skipped, and their decoys never live.
    const decoy = await waitUntil(async () => {
      void control.runCanary(context).catch(() => {})
      const runId = (await results()).find(({ outcome }) => outcome === 'RUNNING')?.runId
      return runId !== undefined && (await control.run(runId))?.status === 'RUNNING' && runId
    }, 'a canary to be under way')
    await end()
    await serve()
    const settled = await waitUntil(
      async () => (await results()).find(({ runId, outcome }) => runId === decoy && outcome !== 'RUNNING'),
      'it to be settled',
    )
    expect(settled).toMatchObject({ outcome: 'SKIPPED', message: 'The server ended in the middle of it.' })
    expect(await control.run(decoy)).toMatchObject({ status: 'KILLED', receipt: { proven: true } })
  })
})
