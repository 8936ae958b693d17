import { randomUUID } from 'node:crypto'
import type { Context } from '../../schema/builder.ts'
import type { Control } from '../control/control.ts'
import type { Actor } from '../domain/event.ts'

/** The operations that clients wait for. Each has an end: the client's, or the server's. */
export type Operations = {
  /** A client has come. `leave` when it has gone: what it waited for ends. */
  enter(): { signal: AbortSignal; leave(): void }
  /** What a GraphQL operation of that client needs to know. */
  context(viewer: Actor | null, signal: AbortSignal): Context
  /** Ends what all clients wait for, so that subscriptions complete. */
  endAll(): void
}

export function createOperations(control: Control, version: string, now: () => number): Operations {
  const present = new Set<AbortController>()
  return {
    enter() {
      const client = new AbortController()
      present.add(client)
      const leave = () => {
        present.delete(client)
        client.abort()
      }
      return { signal: client.signal, leave }
    },
    context: (viewer, signal) => ({ control, viewer, correlationId: randomUUID(), signal, now, version }),
    endAll() {
      for (const client of present) client.abort()
    },
  }
}
