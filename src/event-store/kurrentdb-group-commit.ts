import type { BatchWriter } from './kurrentdb-batch.ts'
import type { ExactWrite, StreamWriter, Write, Written } from './kurrentdb-writer.ts'

type Waiting = { write: ExactWrite; resolve(written: Written): void; reject(error: unknown): void }

/** A batch is one transaction, of which a server takes 1 MiB in all unless it is set otherwise. */
const batchLimits = { writes: 250, bytes: 512 * 1024 }
/** While one is on its way to the disk, the next one travels. */
const batchesMax = 2

/**
 * Group commit: what comes while a batch is under way is the next one, so that the cost of a call and of a transaction
 * is shared by everybody who waits. Who is alone goes alone.
 */
export function createGroupCommit(batch: BatchWriter, single: StreamWriter) {
  const queue: Waiting[] = []
  let workers = 0

  /** @throws StoreUnavailable when nothing is known of the outcome */
  async function write(write: Write): Promise<Written> {
    if (!isExact(write) || batch.streamsMax < 2 || write.bytes > batchLimits.bytes) return single(write)
    const { promise, resolve, reject } = Promise.withResolvers<Written>()
    queue.push({ write, resolve, reject })
    if (workers < batchesMax) void work()
    return promise
  }

  async function work(): Promise<void> {
    workers += 1
    while (queue.length > 0) {
      // Callers woken by the last batch write again before this returns: 128 callers make one batch, not 1 and 127.
      await new Promise(setImmediate)
      const taken = take()
      try {
        await commit(taken)
      } catch (error) {
        for (const { reject } of taken) reject(error)
      }
    }
    workers -= 1
  }

  function take(): Waiting[] {
    const max = Math.min(batchLimits.writes, batch.streamsMax)
    let bytes = 0
    let count = 0
    for (const { write } of queue) {
      bytes += write.bytes
      if (count === max || (count > 0 && bytes > batchLimits.bytes)) break
      count += 1
    }
    return queue.splice(0, count)
  }

  async function commit(taken: readonly Waiting[]): Promise<void> {
    const results = taken.length < 2 ? [] : await batch.write(taken.map(({ write }) => write))
    await Promise.all(taken.map((waiting, index) => settle(waiting, results[index] ?? { outcome: 'alone' })))
  }

  async function settle({ write, resolve, reject }: Waiting, written: Written | { outcome: 'alone' }): Promise<void> {
    if (written.outcome !== 'alone') return resolve(written)
    await single(write).then(resolve, reject)
  }

  return { write }
}

export type KurrentWriter = ReturnType<typeof createGroupCommit>

const isExact = (write: Write): write is ExactWrite => typeof write.last === 'number'
