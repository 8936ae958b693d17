import { describe, expect, it } from 'vitest'
import type { RecordedEvent } from '../../../src/domain/event.ts'
import { follow } from '../../support/collect.ts'
import { startProgram } from '../../support/program.ts'
import type { Context } from './suite.ts'

type Acknowledged = { id: string; position: number; revision: number }

export function processSuite(context: Context): void {
  const startWriter = (name: string, appends: number) =>
    startProgram('append-events.ts', [JSON.stringify(context.address), context.stream(name), String(appends)])
  const startReader = () => startProgram('read-events.ts', [JSON.stringify(context.address), String(context.start)])

  describe('several processes', () => {
    it('[R41] write at once, and a reader sees every event exactly once, in order, without gaps', async () => {
      const subscription = follow(context.store, { after: context.start })
      const writers = ['shared', 'shared', 'own'].map((name) => startWriter(name, 400))
      const acknowledged: Acknowledged[] = []
      await Promise.all(
        writers.map(async (writer) => {
          for (let answer = await writer.next(); answer.ended === undefined; answer = await writer.next()) {
            acknowledged.push(answer)
          }
        }),
      )
      expect(acknowledged).toHaveLength(1_200)
      await subscription.until(() => subscription.events.length >= 1_200)
      await subscription.stop()
      const log = await context.log()
      expect(log).toHaveLength(1_200)
      expect(subscription.events).toEqual(log)
      const read = new Map(subscription.events.map((event) => [event.position, event.metadata.eventId]))
      for (const { id, position } of acknowledged) expect(read.get(position)).toBe(id)
    })

    it('[R14] [R41] two of four writers killed with -9: what was acknowledged is read once and in order, in two others', async () => {
      const read = [startReader(), startReader()] as const
      const names = ['victim', 'shared', 'shared', 'survivor']
      const writers = names.map((name, index) => startWriter(name, index < 2 ? 100_000 : 150))
      const acknowledged: Acknowledged[] = []
      const answers = writers.map(async (writer, index) => {
        let count = 0
        for (let answer = await writer.next(); answer.ended === undefined; answer = await writer.next()) {
          acknowledged.push(answer)
          count += 1
          // In the middle of their work, and of each other's: what they said until then is still in the pipe.
          if (index < 2 && count === 50) await writer.end('SIGKILL')
        }
        return count
      })
      const counts = await Promise.all(answers)
      expect(Math.min(...counts)).toBeGreaterThanOrEqual(50)
      expect(counts.slice(2)).toEqual([150, 150])

      const log = (await context.log()).map(seenOf)
      for (const reader of read) {
        const seen: Seen[] = []
        while (seen.length < log.length) seen.push(await reader.next())
        await reader.end()
        expect(seen).toEqual(log)
      }
      expect(new Set(log.map(({ id }) => id)).size).toBe(log.length)
      const placed = new Map(log.map((event) => [event.id, event]))
      for (const { id, position, revision } of acknowledged)
        expect(placed.get(id)).toMatchObject({ position, revision })
      for (const events of Map.groupBy(log, ({ stream }) => stream).values()) {
        expect(events.map(({ revision }) => revision)).toEqual(events.map((_, index) => index))
      }
      // Six processes that start at once, on a machine that does other things too.
    }, 60_000)
  })
}

type Seen = { position: number; revision: number; stream: string; id: string }

const seenOf = ({ position, revision, stream, metadata }: RecordedEvent): Seen => ({
  ...{ position, revision, stream, id: metadata.eventId },
})
