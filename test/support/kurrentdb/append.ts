import type { ServerReadableStream, sendUnaryData } from '@grpc/grpc-js'
import shared from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/shared_pb.js'
import streams from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_pb.js'
import { admit, type Context, commit } from './context.ts'
import type { Expected, Outcome, Proposed } from './log.ts'
import { nameOf, toProposed } from './wire.ts'

type Call = ServerReadableStream<streams.AppendReq, streams.AppendResp>

/** `Streams/Append`: one call an append, the options first. The official client uses it where it has credentials per call. */
export const handleAppend = (context: Context) => async (call: Call, answer: sendUnaryData<streams.AppendResp>) => {
  try {
    let options = new streams.AppendReq.Options()
    const events: Proposed[] = []
    for await (const request of call as AsyncIterable<streams.AppendReq>) {
      options = request.getOptions() ?? options
      const message = request.getProposedMessage()
      if (message !== undefined) events.push(toProposed(message))
    }
    await admit(context, call.metadata)
    const expected = expectedOf(options)
    const outcome = commit(context, {
      streams: [{ stream: nameOf(options.getStreamIdentifier()), expected }],
      events: events.map((event) => ({ ...event, streamIndex: 0 })),
    })
    if (outcome !== undefined) answer(null, toResponse(outcome, expected))
  } catch (error) {
    answer(error as Error)
  }
}

function expectedOf(options: streams.AppendReq.Options): Expected {
  if (options.hasRevision()) return Number(options.getRevision())
  if (options.hasNoStream()) return 'no-stream'
  return options.hasStreamExists() ? 'stream-exists' : 'any'
}

function toResponse(outcome: Outcome, expected: Expected): streams.AppendResp {
  if (outcome.outcome === 'conflict') return toConflict(outcome.failures[0]?.actual ?? -1, expected)
  const position = new streams.AppendResp.Position()
  position.setCommitPosition(String(outcome.position)).setPreparePosition(String(outcome.position))
  const success = new streams.AppendResp.Success().setCurrentRevision(String(outcome.revisions[0]))
  return new streams.AppendResp().setSuccess(success.setPosition(position))
}

function toConflict(actual: number, expected: Expected): streams.AppendResp {
  const conflict = new streams.AppendResp.WrongExpectedVersion()
  if (actual < 0) conflict.setCurrentNoStream(new shared.Empty())
  else conflict.setCurrentRevision(String(actual))
  if (typeof expected === 'number') conflict.setExpectedRevision(String(expected))
  if (expected === 'any') conflict.setExpectedAny(new shared.Empty())
  if (expected === 'no-stream') conflict.setExpectedNoStream(new shared.Empty())
  if (expected === 'stream-exists') conflict.setExpectedStreamExists(new shared.Empty())
  return new streams.AppendResp().setWrongExpectedVersion(conflict)
}
