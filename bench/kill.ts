import { randomUUID } from 'node:crypto'
import { type Bench, type Figures, median, percentile } from './bench.ts'
import { type KillPeer, openPeers } from './kill-peers.ts'
import { endAll, ownExitMs, survivorsOf, treeCommand, untilGrown } from './process-trees.ts'
import { killRun, type Server, startRun, startServer } from './server.ts'

/** Processes of a tree, how often we kill such a one, and how often each of the others does. */
const sizes = [
  { processes: 1, kills: 20, peerKills: 10 },
  { processes: 50, kills: 20, peerKills: 10 },
  // tree-kill starts 500 programs for it.
  { processes: 500, kills: 5, peerKills: 2 },
]

const note = (text: string) => void process.stderr.write(`kill: ${text}\n`)

/**
 * From a kill's request to its receipt, through GraphQL and the event store, on real processes; and how long others take
 * until they say that they are done, with who is left then.
 */
export const kill: Bench = {
  name: 'kill',
  async run() {
    const server = await startServer()
    const others = await openPeers(note)
    try {
      const figures: Figures = {}
      const peers: Record<string, Figures> = Object.fromEntries(others.map(({ name }) => [name, {}]))
      for (const { processes, kills, peerKills } of sizes) {
        for (const force of [true, false]) {
          note(`${force ? 'forced' : 'graceful'}, ${processes} processes, ${kills} times`)
          Object.assign(figures, await measure(server, processes, kills, force))
        }
        for (const peer of others) {
          note(`${peer.name}, ${processes} processes`)
          Object.assign(peers[peer.name] ?? {}, await measurePeer(peer, processes, peerKills))
        }
      }
      const ours = figures.forced50P50Ms ?? Number.NaN
      const ratios = Object.fromEntries(
        Object.entries(peers).map(([name, theirs]) => [name, (theirs.done50P50Ms ?? Number.NaN) / ours]),
      )
      return { figures, peers, ratios }
    } finally {
      for (const peer of others) await peer.close()
      await server.stop()
    }
  },
}

async function measure(server: Server, processes: number, kills: number, force: boolean): Promise<Figures> {
  const receiptMs: number[] = []
  const answerMs: number[] = []
  const ownMs: number[] = []
  let survivors = 0
  for (let n = 0; n < kills; n += 1) {
    // In turns with what it is compared to: the machine is not the same from one minute to the next.
    if (!force) ownMs.push(await ownExitMs(processes))
    const id = await startRun(server, treeCommand(processes))
    const members = await untilGrown(`RUNWARDEN_RUN_ID=${id}`, processes)
    const asked = performance.now()
    const { receipt } = (await killRun(server, id, force)).run
    answerMs.push(performance.now() - asked)
    receiptMs.push(Date.parse(receipt.timings.provenAt) - Date.parse(receipt.timings.requestedAt))
    survivors = Math.max(survivors, (await survivorsOf(members)).length)
    if (receipt.processCount < processes) throw new Error(`a receipt with ${receipt.processCount} of ${processes}`)
  }
  const name = `${force ? 'forced' : 'graceful'}${processes}`
  return {
    [`${name}P50Ms`]: median(receiptMs),
    [`${name}P99Ms`]: percentile(receiptMs, 99),
    [`${name}AnswerP50Ms`]: median(answerMs),
    [`${name}SurvivorsCount`]: survivors,
    ...(force ? {} : beyond(name, receiptMs, ownMs)),
  }
}

/** What a graceful kill takes beyond what its processes do: its time, less the median of theirs. */
function beyond(name: string, receiptMs: readonly number[], ownMs: readonly number[]): Figures {
  const overMs = receiptMs.map((ms) => ms - median(ownMs))
  return {
    [`${name}OwnExitP50Ms`]: median(ownMs),
    [`${name}OverOwnExitP50Ms`]: median(overMs),
    [`${name}OverOwnExitP99Ms`]: percentile(overMs, 99),
  }
}

async function measurePeer(peer: KillPeer, processes: number, kills: number): Promise<Figures> {
  const doneMs: number[] = []
  let survivors = 0
  for (let n = 0; n < kills; n += 1) {
    const mark = randomUUID()
    await peer.start(processes, { RUNWARDEN_BENCH_TREE: mark })
    const members = await untilGrown(mark, processes)
    const asked = performance.now()
    await peer.kill()
    doneMs.push(performance.now() - asked)
    const left = await survivorsOf(members)
    survivors = Math.max(survivors, left.length)
    endAll(left)
  }
  return {
    [`done${processes}P50Ms`]: median(doneMs),
    [`done${processes}P99Ms`]: percentile(doneMs, 99),
    [`survivors${processes}Count`]: survivors,
  }
}
