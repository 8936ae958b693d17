import { type Bench, median } from './bench.ts'
import { caughtUp, insertSelect, type Taken, timed, withHistory } from './projecting.ts'

const events = 200_000
/** We and the peer take turns, and are compared round by round. */
const rounds = 3

const say = (text: string) => void process.stderr.write(`rebuild: ${text}\n`)

/** All projections are built anew from a history, beside the live tables; then everything is switched. */
export const rebuild: Bench = {
  name: 'rebuild',
  run: () =>
    withHistory(events, say, async (projecting) => {
      const { projector, pool, database } = projecting
      projector.start()
      await caughtUp(projecting)
      const taken: { ours: Taken; peer: Taken }[] = []
      for (let round = 1; round <= rounds; round += 1) {
        say(`round ${round} of ${rounds}`)
        taken.push({
          ours: await timed(projecting.events, database, () => projector.rebuild(null)),
          peer: await timed(projecting.events, database, () => insertSelect(pool)),
        })
      }
      const ratios = taken.map(({ ours, peer }) => ours.perSecond / peer.perSecond)
      say(`insertSelect: ${ratios.map((ratio) => ratio.toFixed(2)).join(' ')}`)
      return {
        figures: {
          eventsPerSecond: median(taken.map(({ ours }) => ours.perSecond)),
          nodeCpuMs: median(taken.map(({ ours }) => ours.nodeCpuMs)),
          postgresCpuMs: median(taken.map(({ ours }) => ours.postgresCpuMs)),
          eventsCount: projecting.events,
        },
        peers: {
          insertSelect: {
            eventsPerSecond: median(taken.map(({ peer }) => peer.perSecond)),
            postgresCpuMs: median(taken.map(({ peer }) => peer.postgresCpuMs)),
          },
        },
        ratios: { insertSelect: median(ratios) },
      }
    }),
}
