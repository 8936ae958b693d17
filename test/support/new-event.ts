import { randomUUID } from 'node:crypto'
import type { NewEvent } from '../../src/domain/event.ts'

/** An event as the event store sees it: it looks into none. */
export function newEvent(data: unknown = {}, eventId: string = randomUUID()): NewEvent {
  return {
    type: 'Tested',
    v: 1,
    data,
    metadata: {
      eventId,
      actor: { kind: 'user', id: 'tester' },
      correlationId: 'test',
      occurredAt: '2026-11-21T10:00:00.000Z',
    },
  }
}

export const newEvents = (count: number) => Array.from({ length: count }, (_, index) => newEvent({ n: index }))
