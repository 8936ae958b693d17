import { readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import type pg from 'pg'
import { allProjections } from '../../projections/all.ts'
import { createProjector } from '../../projections/projector.ts'
import type { RecordedEvent } from '../../src/domain/event.ts'
import { foldRun } from '../../src/domain/fold-run.ts'
import { type RunId, runOfStream } from '../../src/domain/ids.ts'
import { readRunEvent } from '../../src/domain/run-events.ts'
import { isTerminal, type RunState } from '../../src/domain/run-state.ts'
import type { EventStore } from '../../src/event-store/event-store.ts'
import { isRunning } from '../../src/host/process-table.ts'
import { allMarkedProcesses } from './server.ts'

/** Everything that the store has of one run. */
export type RunRecord = { runId: RunId; state: RunState; events: RecordedEvent[] }

export async function recordsOf(events: AsyncIterable<RecordedEvent>): Promise<Map<RunId, RunRecord>> {
  const records = new Map<RunId, RunRecord>()
  const attempts = new Map<RunId, RecordedEvent[]>()
  for await (const event of events) {
    const runId = runOfStream(event.stream)
    if (runId === undefined) continue
    const before = records.get(runId)
    const state = readRunEvent(event) === undefined ? before?.state : foldRun(before?.state, event)
    const earlier = before?.events ?? attempts.get(runId) ?? []
    // An attempt is recorded before what it leads to, so before the run.
    if (state === undefined) attempts.set(runId, [...earlier, event])
    else records.set(runId, { runId, state, events: [...earlier, event] })
  }
  return records
}

/** Each of them is the end of a run. */
export const endings = ['RunKilled', 'RunCompleted', 'RunFailed', 'RunLost', 'RunForceCompleted']
/** What can happen to a run once at most, however often its server dies. */
const singular = [
  ...['RunRequested', 'RunStarted', 'SigtermSent', 'SigkillSent', 'ProcessExited'],
  ...['TelemetrySummarised', 'RunCleaned'],
  ...['RestartRequested', 'RunRestarted', 'ForceCompleteRequested'],
  ...['PauseRequested', 'RunPaused', 'ResumeRequested', 'RunResumed'],
  ...['CriticalSectionEntered', 'CriticalSectionExited', 'KillDeferred'],
]
/** What somebody asks for; a restart's new run is asked for by the restart, and says so as its cause. */
const asked = [
  ...['RunRequested', 'KillRequested', 'RestartRequested', 'ForceCompleteRequested'],
  ...['PauseRequested', 'ResumeRequested'],
]

/**
 * What is wrong with the record of a run, if it is held to this: everything happened exactly once in effect.
 * One line for each fault.
 */
export function faultsOf(record: RunRecord, all: ReadonlyMap<RunId, RunRecord>): string[] {
  const { runId, state, events } = record
  const count = (...types: string[]) => events.filter(({ type }) => types.includes(type)).length
  const faults: string[] = []
  const expect = (holds: boolean, fault: string) => {
    if (!holds) faults.push(`${runId}: ${fault}`)
  }
  for (const type of singular) expect(count(type) <= 1, `${count(type)} × ${type}`)
  const ends = count(...endings)
  expect(ends === (isTerminal(state.status) ? 1 : 0), `${state.status} with ${ends} endings`)
  expect(count('LateResultObserved') === 0, 'a fact came late')
  const steps = events
    .filter(({ type }) => type === 'CleanupStepCompleted')
    .map(({ data }) => (data as { step: string }).step)
  expect(new Set(steps).size === steps.length, `cleanup steps ${steps.join(' ')}`)

  const facts = events
    .flatMap(({ metadata }) => (metadata.fact === undefined ? [] : { ...metadata.fact, at: metadata.occurredAt }))
    .sort((a, b) => a.sequence - b.sequence)
  expect(
    facts.every(({ sequence }, index) => sequence === index + 1),
    `facts ${facts.map(({ sequence }) => sequence).join(' ')}`,
  )
  expect(
    facts.every(({ at }, index) => index === 0 || at >= (facts[index - 1]?.at ?? '')),
    `facts happened at ${facts.map(({ at }) => at).join(' ')}`,
  )

  for (const request of events.filter(({ type, metadata }) => asked.includes(type) && !metadata.causationId)) {
    const { type, position, metadata } = request
    const attempt = events.find(
      (event) => event.type === 'ActionAttempted' && event.metadata.correlationId === metadata.correlationId,
    )
    expect(attempt !== undefined && attempt.position < position, `${type} without an attempt before it`)
  }

  const madeFromIt = [...all.values()].filter(({ state }) => state.restartOf === runId)
  const newRun = state.restart?.newRunId
  if (newRun === undefined) expect(madeFromIt.length === 0, 'a new run that nobody asked for')
  else if (isTerminal(state.status)) {
    expect(madeFromIt.length === 1 && madeFromIt[0]?.runId === newRun, `${madeFromIt.length} new runs`)
    expect(state.restartedAs === newRun, `restarted as ${state.restartedAs}, not as ${newRun}`)
  }
  return faults
}

/** Waits until the tables hold everything that is in the store, whichever process folds it. */
export async function projectionsCaughtUp(store: EventStore, pool: pg.Pool): Promise<void> {
  const projector = createProjector({ store, pool, projections: allProjections, log: { info() {}, error() {} } })
  projector.start()
  try {
    const head = await store.head()
    await Promise.all(projector.names.map((name) => projector.waitFor(head, AbortSignal.timeout(20_000), name)))
  } finally {
    await projector.close()
  }
}

/**
 * Where the record, the tables and this machine's process table do not say the same. One line for each fault.
 * @param pool of a database whose projections have caught up
 */
export async function disagreements(records: ReadonlyMap<RunId, RunRecord>, pool: pg.Pool): Promise<string[]> {
  const faults: string[] = []
  const marked = allMarkedProcesses()
  const { rows } = await pool.query(
    `SELECT run_id, p.pid, p.status, r.state FROM workflow_processes p FULL JOIN runs r USING (run_id)
     WHERE run_id = ANY($1)`,
    [[...records.keys()]],
  )
  if (rows.length !== records.size) faults.push(`${rows.length} rows of ${records.size} runs`)
  for (const { run_id, pid, status, state: row } of rows) {
    const state = records.get(run_id)?.state
    const live = marked.get(run_id) ?? []
    const told = JSON.stringify({ pid, status, live: live.map(described), root: state?.root?.pid })
    if (state === undefined) faults.push(`${run_id}: a row without events`)
    else if (!isDeepStrictEqual(row, asJson(state)))
      faults.push(`${run_id}: another row in runs: ${differences(row, state)}`)
    else if (isTerminal(state.status)) {
      const isGone = live.length === 0 && (state.root === null || !isRunning(state.root))
      if (!isGone || pid !== null || status !== state.status) faults.push(`${run_id} has ended: ${told}`)
    } else {
      const lives = state.root !== null && isRunning(state.root) && live.includes(state.root.pid)
      if (!lives || pid !== state.root?.pid || status !== state.status) faults.push(`${run_id} lives: ${told}`)
    }
  }
  return faults
}

/** What tells whose process it is, and whether it still is one. */
function described(pid: number): string {
  try {
    const [stat, cgroup, command] = ['stat', 'cgroup', 'cmdline'].map((name) =>
      readFileSync(`/proc/${pid}/${name}`, 'utf8'),
    )
    return [stat?.split(' ').slice(0, 8).join(' '), cgroup?.trim(), command?.replaceAll('\0', ' ')].join('; ')
  } catch (error) {
    return `${pid}: ${(error as Error).message}`
  }
}

const asJson = (value: unknown) => JSON.parse(JSON.stringify(value))

function differences(row: RunState, state: RunState): string {
  const keys = Object.keys({ ...row, ...state }) as (keyof RunState)[]
  const [there, here] = [asJson(row), asJson(state)]
  const different = keys.filter((key) => !isDeepStrictEqual(there[key], here[key]))
  return different.map((key) => `${key} ${JSON.stringify(row[key])}, not ${JSON.stringify(state[key])}`).join('; ')
}
