import type { LogRecord } from './log.ts'

/** Which events of a stream its readers see. */
export type StreamMetadata = { maxCount?: number; maxAgeMs?: number; truncateBefore?: number }

/** Where a stream's metadata are written: the last event there counts. */
export const metastreamOf = (stream: string) => `$$${stream}`

export function readMetadata(record: LogRecord | undefined): StreamMetadata {
  if (record === undefined) return {}
  const { $maxCount, $maxAge, $tb } = JSON.parse(Buffer.from(record.data).toString()) as Record<string, number>
  return {
    ...($maxCount !== undefined && { maxCount: $maxCount }),
    ...($maxAge !== undefined && { maxAgeMs: $maxAge * 1_000 }),
    ...($tb !== undefined && { truncateBefore: $tb }),
  }
}
