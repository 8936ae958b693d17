import { describe, expect, it } from 'vitest'
import { follow } from '../../support/collect.ts'
import { startProgram } from '../../support/program.ts'
import type { Context } from './suite.ts'

type Acknowledged = { id: string; position: number; revision: number }

export function processSuite(context: Context): void {
  const startWriter = (name: string, appends: number) =>
    startProgram('append-events.ts', [JSON.stringify(context.address), context.stream(name), String(appends)])

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

    it('[R14] keep every acknowledged event of a writer killed with -9, once, and let the others go on', async () => {
      const [victim, other] = [startWriter('victim', 100_000), startWriter('other', 300)]
      const acknowledged: Acknowledged[] = []
      while (acknowledged.length < 150) acknowledged.push(await victim.next())
      await victim.end('SIGKILL')
      for (let answer = await victim.next(); answer.ended === undefined; answer = await victim.next()) {
        acknowledged.push(answer)
      }
      for (let answer = await other.next(); answer.ended === undefined; answer = await other.next()) {
        acknowledged.push(answer)
      }
      const events = await context.log()
      expect(new Set(events.map(({ metadata }) => metadata.eventId)).size).toBe(events.length)
      const read = new Map(events.map((event) => [event.metadata.eventId, event]))
      for (const { id, position, revision } of acknowledged) expect(read.get(id)).toMatchObject({ position, revision })
      expect(acknowledged.length).toBeGreaterThanOrEqual(450)
      const others = events.filter(({ stream }) => stream.startsWith(context.stream('other')))
      expect(others).toHaveLength(300)
    })
  })
}
