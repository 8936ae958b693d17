import { randomUUID } from 'node:crypto'
import type { NewEvent } from '../src/domain/event.ts'

/** An event as it is appended most often. */
export const heartbeat = (): NewEvent => ({
  type: 'HeartbeatRecorded',
  v: 1,
  data: { progressPercent: 40, processes: 4, cpuMs: 1_234, lastOutput: 'Now let me set everything up:' },
  metadata: {
    eventId: randomUUID(),
    actor: { kind: 'host', id: 'host_0123456789ab' },
    correlationId: randomUUID(),
    occurredAt: new Date().toISOString(),
  },
})
