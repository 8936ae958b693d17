import type { DispatchCheckpoint } from '../../src/control/host-dispatcher.ts'
import type { FactBody, HostLink } from '../../src/domain/host-link.ts'
import { type RunId, runOfStream } from '../../src/domain/ids.ts'
import type { EventStore } from '../../src/event-store/event-store.ts'

/**
 * Watches everything that a control does to the world: what it appends to the store, tells the host, and keeps as its
 * checkpoint. Each of these steps has a point before it and one after it, named by what is done and to which run. So a
 * step that somebody adds to a saga has its points without being listed anywhere.
 *
 * @param at the process is killed here, the first time that it gets here; undefined: nowhere.
 */
export function createCrashPoints(at: string | undefined) {
  const passed = new Set<string>()
  const acknowledged = new Set<string>()
  let armed = false
  let firstRun: RunId | undefined

  function pass(point: string): void {
    if (!armed) return
    passed.add(point)
    if (point === at) process.kill(process.pid, 'SIGKILL')
  }

  async function step<Result>(name: string, act: () => Promise<Result>): Promise<Result> {
    pass(`before ${name}`)
    const result = await act()
    pass(`after ${name}`)
    return result
  }

  /** A restart's new run goes through the same steps as the old one. */
  function ofRun(runId: RunId | undefined): string {
    if (!armed || runId === undefined) return ''
    firstRun ??= runId
    return runId === firstRun ? '' : ' of the new run'
  }

  return {
    /** In the order in which they were passed, each name once. */
    passed,
    pass,
    /** Whether this process has acknowledged such a fact of the run. */
    hasAcknowledged: (runId: RunId, type: FactBody['type']) => acknowledged.has(`${runId} ${type}`),
    /** Only from here on points count. */
    arm() {
      armed = true
    },
    disarm() {
      armed = false
    },

    store: (store: EventStore): EventStore => ({
      ...store,
      append(stream, events, expected) {
        const names = events.map(({ type, data }) => nameOf(type, data))
        if (names.some(isByChance)) return store.append(stream, events, expected)
        const name = `append ${names.join('+')}${ofRun(runOfStream(stream))}`
        return step(name, () => store.append(stream, events, expected))
      },
    }),

    host(host: HostLink): HostLink {
      const offered = new Map<string, FactBody>()
      return {
        ...host,
        want: (run) => step(`want${run.kill === null ? '' : ' kill'}${ofRun(run.runId)}`, () => host.want(run)),
        /** One by one, so that there is a point between any two of them. */
        async *facts(signal) {
          for await (const batch of host.facts(signal)) {
            for (const fact of batch) {
              offered.set(`${fact.runId}/${fact.sequence}`, fact.body)
              yield [fact]
            }
          }
        },
        acknowledge(runId, sequence) {
          const fact = offered.get(`${runId}/${sequence}`)
          const name = fact === undefined ? '?' : nameOf(fact.type, fact.data)
          if (isByChance(name)) return host.acknowledge(runId, sequence)
          return step(`acknowledge ${name}${ofRun(runId)}`, async () => {
            await host.acknowledge(runId, sequence)
            acknowledged.add(`${runId} ${name}`)
          })
        },
      }
    },

    checkpoint: (checkpoint: DispatchCheckpoint): DispatchCheckpoint => ({
      ...checkpoint,
      write: (position) => step('checkpoint', () => checkpoint.write(position)),
    }),
  }
}

function nameOf(type: string, data: unknown): string {
  const { step } = data as { step?: unknown }
  return typeof step === 'string' ? `${type} ${step}` : type
}

/** Whether a heartbeat comes is a matter of time: no list of steps can count on it. */
const isByChance = (name: string) => name.startsWith('HeartbeatRecorded')
