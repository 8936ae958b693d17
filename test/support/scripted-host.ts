import type { DesiredRun, EmergencyKill, Fact, FactBody, HostLink, RunEnd, Sample } from '../../src/domain/host-link.ts'
import type { RunId } from '../../src/domain/ids.ts'
import { root, hostId as standardHostId } from './run-events.ts'

/** Where a fake host's facts come from, and how far they have been acknowledged. */
export type ScriptedHost = ReturnType<typeof scriptedHost>

/**
 * A fake host: it supervises nothing. The test decides which facts it offers, in which batches and how often, whether
 * `want` fails, and what a run's output is; and sees what it was told.
 */
export function scriptedHost(hostId = standardHostId) {
  const offered: Fact[][] = []
  const wanted: DesiredRun[] = []
  const acknowledged = new Map<RunId, number[]>()
  const sequences = new Map<RunId, number>()
  const emergencies: EmergencyKill[] = []
  const ends = new Map<RunId, RunEnd>()
  const outputs = new Map<RunId, { bytes: Uint8Array; ended: boolean }>()
  let changed = Promise.withResolvers<void>()
  const wake = () => {
    changed.resolve()
    changed = Promise.withResolvers()
  }
  const script = {
    known: [] as RunId[],
    /** Called before a wish is taken: throws, or waits, where the test wants it. */
    beforeWant: async (_run: DesiredRun): Promise<void> => {},
    /** Called before an emergency kill is taken. */
    beforeEmergency: async (_kill: EmergencyKill): Promise<void> => {},
    journalsOk: true,
    reads: 0,
    /** What it says of its last look at a run. */
    sampled: new Map<RunId, Sample>(),
  }

  /** The run's next facts, numbered on from its last one; `offer` them. */
  const facts = (runId: RunId, ...bodies: FactBody[]): Fact[] =>
    bodies.map((body) => {
      const sequence = (sequences.get(runId) ?? 0) + 1
      sequences.set(runId, sequence)
      return { host: hostId, runId, sequence, occurredAt: new Date(1_767_225_600_000 + sequence).toISOString(), body }
    })

  /** One batch, to every reader that there is or will be. */
  function offer(...batch: Fact[]): void {
    offered.push(batch)
    wake()
  }

  function write(runId: RunId, bytes: Uint8Array, ended = false): void {
    outputs.set(runId, { bytes: Buffer.concat([outputs.get(runId)?.bytes ?? new Uint8Array(), bytes]), ended })
    wake()
  }

  /** How far the run's end is from now on, as the host itself knows it. A run without one is none of this host's. */
  function setEnd(runId: RunId, end: RunEnd): void {
    ends.set(runId, end)
    wake()
  }

  async function change(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const stop = () => resolve()
    signal.addEventListener('abort', stop)
    if (!signal.aborted) await Promise.race([changed.promise, promise])
    signal.removeEventListener('abort', stop)
  }

  const link: HostLink = {
    hostId,
    async want(run) {
      await script.beforeWant(run)
      wanted.push(run)
      wake()
    },
    async emergencyKill(kill) {
      await script.beforeEmergency(kill)
      const end = ends.get(kill.runId)
      if (end === undefined || end.over) return end && 'over'
      const isFirst = !emergencies.some(({ runId }) => runId === kill.runId)
      emergencies.push(kill)
      return isFirst ? 'accepted' : 'joined'
    },
    async awaitEnd(runId, cleaned, signal) {
      for (;;) {
        const end = ends.get(runId)
        const reached = end === undefined || (cleaned ? end.cleanup === 'DONE' : end.over)
        if (reached || end.receipt?.proven === false || signal.aborted) return end
        await change(signal)
      }
    },
    known: async () => script.known,
    async *facts(signal) {
      for (let index = 0; !signal.aborted; ) {
        const batch = offered[index]
        if (batch === undefined) await change(signal)
        else {
          index += 1
          yield batch
        }
      }
    },
    async acknowledge(runId, sequence) {
      acknowledged.set(runId, [...(acknowledged.get(runId) ?? []), sequence])
    },
    inspect: async (pid) =>
      pid === root.pid
        ? { ok: true, root }
        : { ok: false, refusal: { code: 'NO_SUCH_PROCESS', message: `there is no process ${pid}` } },
    async readOutput(runId, offset, maxBytes) {
      script.reads += 1
      const output = outputs.get(runId)
      if (output === undefined) return undefined
      const from = Math.min(offset, output.bytes.length)
      const data = output.bytes.subarray(from, from + maxBytes)
      const next = from + data.length
      return { offset: from, next, data, ended: output.ended && next === output.bytes.length }
    },
    async outputGrown(runId, offset, signal) {
      const over = () => {
        const output = outputs.get(runId)
        return output === undefined || output.ended || output.bytes.length > offset
      }
      while (!signal.aborted && !over()) await change(signal)
    },
    sampled: async (runId) => script.sampled.get(runId),
    openSections: async () => undefined,
    report: async () => ({
      hostId,
      hostname: 'scripted',
      platform: 'none',
      bootId: root.bootId,
      level: 'process-scan',
      levelDetail: 'a fake host',
      checks: [{ name: 'journals', ok: script.journalsOk, detail: script.journalsOk ? 'on the disk' : 'no space' }],
      slots: { capacity: 1, used: 0, waiting: 0 },
      disks: [],
    }),
  }

  return { link, script, facts, offer, write, wanted, acknowledged, emergencies, setEnd }
}
