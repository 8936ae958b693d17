import { checkRetention } from './encode.ts'
import type { Retention } from './event-store.ts'
import type { KurrentConnection } from './kurrentdb-connection.ts'

/** Sets the two limits in the stream's metadata; what else is in there, such as access rights, stays. */
export async function setKurrentRetention(
  connection: KurrentConnection,
  stream: string,
  retention: Retention,
): Promise<void> {
  checkRetention(stream, retention)
  const { metadata } = await connection.read((client) =>
    client.getStreamMetadata(stream, { requiresLeader: true, ...connection.asUser }),
  )
  const { maxAge: _, maxCount: __, ...others } = metadata ?? {}
  const { maxAgeMs, maxCount } = retention
  const limits = {
    ...(maxAgeMs === undefined ? {} : { maxAge: Math.ceil(maxAgeMs / 1_000) }),
    ...(maxCount === undefined ? {} : { maxCount }),
  }
  // The same once more changes nothing, so it may be tried again like a read.
  await connection.read((client) =>
    client.setStreamMetadata(stream, { ...others, ...limits }, { requiresLeader: true }),
  )
}
