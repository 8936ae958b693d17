import { once } from 'node:events'
import type { ServerWritableStream } from '@grpc/grpc-js'
import streams from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_pb.js'
import { admit, type Context } from './context.ts'
import { toFilter } from './event-filter.ts'
import type { Log, LogRecord } from './log.ts'
import { invalidPosition } from './refusal.ts'
import { subscribe } from './subscribe.ts'
import { identify, nameOf, type Place, placeOf, toReadEvent } from './wire.ts'

type Call = ServerWritableStream<streams.ReadReq, streams.ReadResp>

/** `Streams/Read`: a stream or all of them, forwards or backwards, or a subscription to all. */
export const handleRead = (context: Context) => async (call: Call) => {
  const gone = new AbortController()
  for (const event of ['cancelled', 'close'] as const) call.once(event, () => gone.abort())
  const send = async (message: streams.ReadResp) => {
    gone.signal.throwIfAborted()
    if (!call.write(message)) await once(call, 'drain', { signal: gone.signal })
  }
  try {
    await admit(context, call.metadata)
    await answer(context.log, call.request.getOptions() ?? new streams.ReadReq.Options(), send, gone.signal)
    call.end()
  } catch (error) {
    if (!gone.signal.aborted) call.emit('error', error)
  }
}

type Send = (message: streams.ReadResp) => Promise<void>

async function answer(log: Log, options: streams.ReadReq.Options, send: Send, signal: AbortSignal): Promise<void> {
  const hasTextIds = options.getUuidOption()?.hasString() ?? false
  const stream = options.getStream()
  if (options.hasSubscription()) {
    const after = place(log, options.getAll())
    return subscribe({ log, after, filter: toFilter(options), hasTextIds, send, signal })
  }
  const records = stream === undefined ? ofAll(log, options) : ofStream(log, stream, isBackwards(options))
  if (records === undefined) {
    const notFound = new streams.ReadResp.StreamNotFound()
    return send(
      new streams.ReadResp().setStreamNotFound(
        notFound.setStreamIdentifier(identify(nameOf(stream?.getStreamIdentifier()))),
      ),
    )
  }
  const limit = Number(options.getCount())
  for (const record of Iterator.from(records).take(limit)) await send(toReadEvent(record, hasTextIds))
}

const isBackwards = (options: streams.ReadReq.Options) =>
  options.getReadDirection() === streams.ReadReq.Options.ReadDirection.BACKWARDS

/** Inclusive both ways. */
function ofStream(log: Log, options: streams.ReadReq.Options.StreamOptions, backwards: boolean) {
  const records = log.visible(nameOf(options.getStreamIdentifier()))
  const from = options.hasRevision() ? Number(options.getRevision()) : options.hasEnd() ? Infinity : 0
  if (backwards) return records?.filter(({ revision }) => revision <= from).reverse()
  return records?.filter(({ revision }) => revision >= from)
}

/** Forwards from the position on; backwards what is before it. */
function ofAll(log: Log, options: streams.ReadReq.Options): Iterable<LogRecord> {
  const all = options.getAll()
  const from = place(log, all) ?? { commit: 0, prepare: 0 }
  const filter = toFilter(options)
  const records = isBackwards(options) ? log.before(all?.hasEnd() ? log.end : from.commit) : log.from(from.commit)
  return filter === undefined ? records : records.filter(filter.matches)
}

/** undefined: the beginning. @throws Refusal for an offset at which nothing begins */
function place(log: Log, all: streams.ReadReq.Options.AllOptions | undefined): Place | undefined {
  if (all === undefined || all.hasStart()) return undefined
  if (all.hasEnd()) return log.before(log.end).take(1).map(placeOf).next().value
  const given = all.getPosition()
  const at = { commit: Number(given?.getCommitPosition()), prepare: Number(given?.getPreparePosition()) }
  if (at.commit < log.end && !log.isBoundary(at.commit)) throw invalidPosition()
  return at
}
