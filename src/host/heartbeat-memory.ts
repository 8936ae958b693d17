import { noticesMax } from '../domain/evolve-telemetry.ts'
import type { FactBody } from '../domain/host-link.ts'
import type { RunEventData } from '../domain/run-events.ts'

type Heartbeat = Extract<FactBody, { type: 'HeartbeatRecorded' }>
type Summary = RunEventData<'TelemetrySummarised'>

const peaks = [
  ['rssBytes', 'peakRssBytes'],
  ['processes', 'peakProcesses'],
  ['openFiles', 'peakOpenFiles'],
] as const

/** What a run's summary takes from heartbeats other than the last one. */
export class HeartbeatMemory {
  /** The heartbeat that had the most, of each. */
  readonly #highest = new Map<(typeof peaks)[number][0], Heartbeat>()
  #noticed: { heartbeat: Heartbeat; at: string }[] = []

  fold(heartbeat: Heartbeat, at: string): void {
    for (const [name] of peaks) {
      const value = heartbeat.data[name]
      if (value !== undefined && value > (this.#highest.get(name)?.data[name] ?? -1)) this.#highest.set(name, heartbeat)
    }
    if (heartbeat.data.notices === undefined) return
    this.#noticed = [...this.#noticed, { heartbeat, at }].slice(-noticesMax)
  }

  /** Whether the summary needs the journal to keep this fact. */
  restsOn(body: FactBody): boolean {
    return (
      [...this.#highest.values()].some((heartbeat) => heartbeat === body) ||
      this.#noticed.some(({ heartbeat }) => heartbeat === body)
    )
  }

  summary(): Pick<Summary, 'peakRssBytes' | 'peakProcesses' | 'peakOpenFiles' | 'notices'> {
    const notices = this.#noticed.flatMap(({ heartbeat, at }) =>
      (heartbeat.data.notices ?? []).map((notice) => ({ ...notice, at })),
    )
    return {
      ...Object.fromEntries(
        peaks.flatMap(([name, peak]) => {
          const value = this.#highest.get(name)?.data[name]
          return value === undefined ? [] : [[peak, value]]
        }),
      ),
      ...(notices.length > 0 && { notices: notices.slice(-noticesMax) }),
    }
  }
}
