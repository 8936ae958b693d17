import { once } from 'node:events'
import pg from 'pg'
import { type DatabaseConnection, withDefaults } from '../postgres/connection.ts'
import { backoffMs, pause } from '../postgres/retry.ts'

/** One NOTIFY per batch, its payload is the position of the last event. */
export const channel = 'event_store'

/**
 * Calls `nudge` when another process appended, and after each connection, since NOTIFYs in between are lost. Only a
 * nudge: whoever needs certainty polls. Reconnects for ever; resolves on abort, with the connection closed.
 */
export async function listen(connection: DatabaseConnection, nudge: () => void, signal: AbortSignal): Promise<void> {
  let failures = 0
  while (!signal.aborted) {
    const client = new pg.Client(withDefaults(connection, { purpose: 'events', statementTimeoutMs: 10_000 }))
    const ended = once(client, 'end', { signal }).catch(() => {})
    client.on('error', () => {})
    client.on('notification', nudge)
    try {
      await client.connect()
      await client.query(`listen ${channel}`)
      failures = 0
      nudge()
      await ended
    } catch {
      // Whatever it is: polling goes on, and says what is wrong.
    }
    await client.end().catch(() => {})
    failures += 1
    await pause(backoffMs(failures), signal)
  }
}
