// A server without doors: the real control, host and store, and a client that works through one saga. It kills itself
// with SIGKILL at the crash point that it is told; where it is told none it says at the end which points it has passed.
//   node crashing-server.ts '{"databaseUrl", "dataDirectory", "conclude": saga, "begin": saga, "crashAt": point}'
// `conclude`: a saga that was begun by a server that was killed. What that one has recorded is not asked for again until
// it is over; then it is, by a client that never got its answer.
import { randomUUID } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readConfig } from '../../src/config.ts'
import { createAuditSpool } from '../../src/control/audit-spool.ts'
import { createControl } from '../../src/control/create-control.ts'
import { loadRun } from '../../src/control/run-log.ts'
import { dispatchCheckpoint } from '../../src/dispatch-checkpoint.ts'
import { type RunId, runStream } from '../../src/domain/ids.ts'
import { isTerminal } from '../../src/domain/run-state.ts'
import { createHost } from '../../src/host/host.ts'
import { openStore } from '../../src/store-connection.ts'
import { createCrashPoints } from '../support/crash-points.ts'
import { waitUntil } from '../support/wait-until.ts'

export type Saga = {
  kind: 'first-start' | 'launch' | 'live' | 'adopt' | 'kill' | 'restart' | 'complete' | 'pause' | 'defer' | 'checkpoint'
  /** Idempotency key of the run that it begins with. */
  key: string
}
type Arguments = { databaseUrl: string; dataDirectory: string; conclude?: Saga; begin?: Saga; crashAt?: string }

const { databaseUrl, dataDirectory, conclude, begin, crashAt }: Arguments = JSON.parse(process.argv[2] ?? '')
const log = { info() {}, warn() {}, error: (fields: object, message: string) => console.error(message, fields) }
const points = createCrashPoints(crashAt)
const connection = await openStore(readConfig({ DATABASE_URL: databaseUrl }), undefined, dataDirectory, log)
const host = await createHost({
  ...{ hostDirectory: join(dataDirectory, 'host'), capacity: 100, log, sampleIntervalMs: 1_000 },
  crashPoint: (name) => points.pass(`host ${name}`),
})
const control = createControl({
  ...connection,
  store: points.store(connection.store),
  host: points.host(host),
  checkpoint: points.checkpoint(dispatchCheckpoint(dataDirectory)),
  auditSpool: createAuditSpool(join(dataDirectory, 'audit-spool.jsonl'), log),
  log,
  now: () => new Date(),
  checkIntervalMs: 1_000,
  storeAway: connection.away,
})

const context = () => ({ actor: { kind: 'user', id: 'ada' }, correlationId: randomUUID() }) as const
const policy = { graceMs: 60, proofDeadlineMs: 10_000 }
const brief = ['sh', '-c', 'echo ran >>ran']
/** Deaf to SIGTERM before it says that it ran. */
const deaf = ['sh', '-c', 'trap "" TERM; echo ran >>ran; exec sleep 1000']

/** In a critical section until it is told to leave, and deaf. */
const sectioned = [
  'sh',
  '-c',
  'trap "" TERM; tell() { echo "$1" >>"$RUNWARDEN_PROGRESS"; }; tell \'{"enter":{"id":"push","kind":"git_operations"}}\'; ' +
    'echo ran >>ran; until [ -e leave ]; do sleep 0.02; done; tell \'{"exit":{"id":"push"}}\'; exec sleep 1000',
]

async function startRun(command: string[], key: string): Promise<RunId> {
  // Actor and key alone make the run id: with the bare key another execution of this test on the same machine would have
  // runs, and processes with their marker, of the same ids.
  const idempotencyKey = `${key}, ${dataDirectory}`
  const answer = await control.startRun(context(), { command, policy, idempotencyKey })
  if (answer.type !== 'StartRunAnswer') throw new Error(`start: ${answer.message}`)
  return answer.run.runId
}

async function has(runId: RunId, type: string): Promise<boolean> {
  for await (const event of connection.store.readStream(runStream(runId))) if (event.type === type) return true
  return false
}

const stateOf = async (runId: RunId) => (await loadRun(connection.store, runId))?.state

/** Nothing is left to do: the host has told everything, and was heard. */
const finished = (runId: RunId) =>
  waitUntil(
    async () => {
      if ((await host.known()).includes(runId)) return false
      const state = await stateOf(runId)
      return state !== undefined && isTerminal(state.status) && state.cleanup.doneAt !== null
    },
    `the end of ${runId}`,
    20_000,
  )

const isDeaf = (runId: RunId) => existsSync(join(dataDirectory, 'host/workspaces', runId, 'ran'))
const startedHere = (runId: RunId) =>
  waitUntil(() => points.hasAcknowledged(runId, 'RunStarted') && isDeaf(runId), `${runId} to live`)

const requests = {
  kill: {
    recordedAs: 'KillRequested',
    ask: (runId: RunId, idempotencyKey: string) => control.killRun(context(), { runId, idempotencyKey }),
  },
  restart: { recordedAs: 'RestartRequested', ask: (runId: RunId) => control.restartRun(context(), { runId }) },
  complete: {
    recordedAs: 'ForceCompleteRequested',
    ask: (runId: RunId) => control.forceCompleteRun(context(), { runId }),
  },
}

/** It is told to leave its section once its kill waits for that. */
async function killInSection(runId: RunId, idempotencyKey: string): Promise<void> {
  if (!(await has(runId, 'KillRequested'))) {
    await control.killRun(context(), { runId, idempotencyKey, waitFor: 'ACCEPTED' })
  }
  await waitUntil(() => has(runId, 'KillDeferred'), `the kill of ${runId} to wait`, 20_000)
  const workspace = join(dataDirectory, 'host/workspaces', runId)
  // Of a run that was cleaned up by a server before this one nothing is there.
  if (existsSync(workspace)) writeFileSync(join(workspace, 'leave'), '')
  await finished(runId)
}

async function newRunOf(runId: RunId): Promise<RunId> {
  return waitUntil(async () => (await stateOf(runId))?.restartedAs ?? undefined, `the restart of ${runId}`, 20_000)
}

/** The saga from its first point to its last one. */
async function work({ kind, key }: Saga): Promise<void> {
  if (kind === 'launch' || kind === 'first-start') {
    points.arm()
    await finished(await startRun(brief, key))
  } else if (kind === 'checkpoint') {
    await workUntilCheckpoint(key)
  } else if (kind === 'live') {
    points.arm()
    await startedHere(await startRun(deaf, key))
  } else if (kind === 'adopt') {
    // The run of a server before this one; what this one does about it begins with its start.
    // What an earlier server adopted, and died before it was heard, may be acknowledged first.
    const steps = ['after append RunAdopted', 'after acknowledge RunAdopted']
    await waitUntil(() => steps.every((point) => points.passed.has(point)), 'the adoption of a run')
  } else if (kind === 'pause') {
    const runId = await startRun(deaf, key)
    await startedHere(runId)
    points.arm()
    await pauseAndResume(runId)
    points.disarm()
    await requests.kill.ask(runId, key)
    await finished(runId)
  } else if (kind === 'defer') {
    const runId = await startRun(sectioned, key)
    await startedHere(runId)
    points.arm()
    await killInSection(runId, key)
  } else {
    const runId = await startRun(deaf, key)
    await startedHere(runId)
    points.arm()
    await requests[kind].ask(runId, key)
    await finished(runId)
    if (kind === 'restart') await startedHere(await newRunOf(runId))
  }
  points.disarm()
}

/** Whoever asks again, because it never got its answer, joins. */
async function pauseAndResume(runId: RunId): Promise<void> {
  const wish = (await stateOf(runId))?.pause
  if (wish == null || wish.paused) await control.pauseRun(context(), { runId })
  if (!(await has(runId, 'RunPaused'))) throw new Error(`${runId} was not paused`)
  await control.resumeRun(context(), { runId })
  if (!(await has(runId, 'RunResumed'))) throw new Error(`${runId} does not go on`)
}

/** One is kept at most once a second: there is news until then. */
async function workUntilCheckpoint(key: string): Promise<void> {
  points.arm()
  for (let count = 0; !points.passed.has('after checkpoint'); count += 1) {
    await finished(await startRun(brief, `${key} ${count}`))
  }
}

/** What the client of a server that was killed does: it asks for what it finds was never recorded. */
async function goOn({ kind, key }: Saga): Promise<void> {
  if (kind === 'launch' || kind === 'first-start') return void (await finished(await startRun(brief, key)))
  if (kind === 'checkpoint') return workUntilCheckpoint(key)
  const runId = await startRun(kind === 'defer' ? sectioned : deaf, key)
  if (kind === 'defer') {
    await killInSection(runId, key)
    return void (await requests.kill.ask(runId, key))
  }
  if (kind === 'pause') {
    await pauseAndResume(runId)
    await requests.kill.ask(runId, key)
    return void (await finished(runId))
  }
  const request = requests[kind === 'adopt' || kind === 'live' ? 'kill' : kind]
  if (!(await has(runId, request.recordedAs))) await request.ask(runId, key)
  await finished(runId)
  // A client that never got its answer asks again: nothing comes of it.
  await request.ask(runId, key)
  if (kind !== 'restart') return
  const newRun = await newRunOf(runId)
  // A kill that came before its first line would leave nothing to show that it ran once.
  await waitUntil(() => isDeaf(newRun), `${newRun} to live`, 20_000)
  await requests.kill.ask(newRun, `${key}, the new run`)
  await finished(newRun)
}

if (begin?.kind === 'first-start' || begin?.kind === 'adopt') points.arm()
await host.start()
await connection.connect(() => control.start(), new AbortController().signal)
if (conclude !== undefined) await goOn(conclude)
if (begin !== undefined) await work(begin)
process.stdout.write(`${JSON.stringify({ passed: [...points.passed] })}\n`)
await control.close()
await connection.close()
await host.close()
