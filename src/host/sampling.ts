import { setImmediate } from 'node:timers/promises'
import type { RunId } from '../domain/ids.ts'
import { Bell } from './bell.ts'
import type { Clock, Log } from './clock.ts'
import type { LastLook } from './last-look.ts'
import { type Looking, type Moment, momentOf } from './looks.ts'
import type { ProcessReader, ProcessTable } from './process-table.ts'

export type SamplingOptions = {
  /** Runs of which something may live. */
  live(): { readonly runId: RunId; sample(table: ProcessTable, now: Moment): Promise<void> | undefined }[]
  intervalMs: number
  reader: Pick<ProcessReader, 'read' | 'rest'>
  looking: Looking
  lastLook: LastLook
  clock: Clock
  log: Log
  signal: AbortSignal
}

/** A shift of sampling yields to others after so many runs. */
const samplesAtATime = 20

/** Looks at all live runs again and again, until the signal aborts. A look that fails is said; the next one follows. */
export async function sampleRegularly(options: SamplingOptions): Promise<void> {
  const { intervalMs, log, signal } = options
  const bell = new Bell()
  while (!signal.aborted) {
    await bell.wait(intervalMs, signal)
    if (signal.aborted) return
    await sampleAll(options).catch((error) => log.error({ err: error }, 'the process table could not be read'))
  }
}

/** One reading of the process table for all. */
async function sampleAll({ live, reader, lastLook, looking, clock, log }: SamplingOptions): Promise<void> {
  const runs = live()
  if (runs.length === 0) return reader.rest()
  const begun = clock()
  const table = await reader.read()
  let now = momentOf(looking)
  for (const [index, run] of runs.entries()) {
    try {
      const saying = run.sample(table, now)
      if (saying !== undefined) await saying
    } catch (error) {
      log.error({ err: error, runId: run.runId }, 'a run could not be sampled; the next time follows')
    }
    if (index % samplesAtATime !== samplesAtATime - 1) continue
    await setImmediate()
    now = momentOf(looking)
  }
  // After what was seen is journalled: a crash in between makes a gap longer, never shorter.
  await lastLook.keep(begun)
}
