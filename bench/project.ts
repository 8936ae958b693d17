import type { Bench } from './bench.ts'
import { caughtUp, insertSelect, timed, withHistory } from './projecting.ts'

const events = 100_000

const say = (text: string) => void process.stderr.write(`project: ${text}\n`)

/** The live way: every projection follows a store from its first event on, as after the loss of all tables. */
export const project: Bench = {
  name: 'project',
  run: () =>
    withHistory(events, say, async (projecting) => {
      const { projector, pool, database } = projecting
      say('following it')
      const ours = await timed(projecting.events, database, async () => {
        projector.start()
        await caughtUp(projecting)
      })
      const peer = await timed(projecting.events, database, () => insertSelect(pool))
      return {
        figures: {
          eventsPerSecond: ours.perSecond,
          nodeCpuMs: ours.nodeCpuMs,
          postgresCpuMs: ours.postgresCpuMs,
          eventsCount: projecting.events,
        },
        peers: { insertSelect: { eventsPerSecond: peer.perSecond, postgresCpuMs: peer.postgresCpuMs } },
        ratios: { insertSelect: ours.perSecond / peer.perSecond },
      }
    }),
}
