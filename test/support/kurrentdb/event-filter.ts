import type streams from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_pb.js'
import type { LogRecord } from './log.ts'

export type EventFilter = {
  matches(record: LogRecord): boolean
  /** A subscription looks at so many events in one go. */
  window: number
  /** It tells how far it is at least after looking at so many. */
  checkpointInterval: number
}

/** undefined: everything. */
export function toFilter(options: streams.ReadReq.Options): EventFilter | undefined {
  const filter = options.getFilter()
  if (filter === undefined) return undefined
  const isByStream = filter.hasStreamIdentifier()
  const expression = isByStream ? filter.getStreamIdentifier() : filter.getEventType()
  const regex = expression?.getRegex() ? new RegExp(expression.getRegex()) : undefined
  const prefixes = expression?.getPrefixList() ?? []
  const window = filter.hasMax() ? filter.getMax() : 32
  return {
    matches(record) {
      const text = isByStream ? record.stream : record.type
      return regex?.test(text) ?? prefixes.some((prefix) => text.startsWith(prefix))
    },
    window,
    checkpointInterval: window * filter.getCheckpointintervalmultiplier(),
  }
}
