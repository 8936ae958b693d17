import { type ServerDuplexStream, status } from '@grpc/grpc-js'
import type code from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/code_pb.js'
import shared from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/shared_pb.js'
import rpc from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/status_pb.js'
import streams from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_pb.js'
import empty from 'google-protobuf/google/protobuf/empty_pb.js'
import { admit, type Context, commit } from './context.ts'
import type { Expected, Outcome, Proposed } from './log.ts'
import { pack } from './refusal.ts'
import { identify, nameOf, toProposed, uuidText } from './wire.ts'

type Call = ServerDuplexStream<streams.BatchAppendReq, streams.BatchAppendResp>

type Pending = { options: streams.BatchAppendReq.Options; events: Proposed[] }

/** `Streams/BatchAppend`: many appends in one call, each known by its correlation id and possibly sent in parts. */
export const handleBatchAppend = (context: Context) => async (call: Call) => {
  const pending = new Map<string, Pending>()
  call.on('data', (request: streams.BatchAppendReq) => {
    const id = uuidText(request.getCorrelationId())
    const append = pending.get(id) ?? {
      options: request.getOptions() ?? new streams.BatchAppendReq.Options(),
      events: [],
    }
    append.events.push(...request.getProposedMessagesList().map(toProposed))
    if (!request.getIsFinal()) return void pending.set(id, append)
    pending.delete(id)
    answer(append).then(
      (response) => response && call.write(response.setCorrelationId(request.getCorrelationId())),
      (error) => call.emit('error', error),
    )
  })
  call.on('end', () => call.end())

  async function answer({ options, events }: Pending): Promise<streams.BatchAppendResp | undefined> {
    const stream = nameOf(options.getStreamIdentifier())
    const response = new streams.BatchAppendResp().setStreamIdentifier(identify(stream))
    // Looked at when the request comes; what then takes longer is written all the same.
    const deadlineMs = options.getDeadline21100()?.toDate().getTime() ?? Number.POSITIVE_INFINITY
    const isLate = deadlineMs <= Date.now()
    await admit(context, call.metadata)
    if (context.faults.isFull || isLate) {
      return response.setError(failure(status.DEADLINE_EXCEEDED, 'Timeout', new shared.Timeout()))
    }
    if (sizeOf(events) > context.maxAppendBytes) {
      const details = new shared.MaximumAppendSizeExceeded().setMaxappendsize(context.maxAppendBytes)
      return response.setError(failure(status.INVALID_ARGUMENT, 'MaximumAppendSizeExceeded', details))
    }
    const expected = expectedOf(options)
    const outcome = commit(context, {
      streams: [{ stream, expected }],
      events: events.map((event) => ({ ...event, streamIndex: 0 })),
    })
    return outcome && settle(response, outcome, expected)
  }
}

const sizeOf = (events: readonly Proposed[]) =>
  events.reduce((sum, { type, data, metadata }) => sum + type.length + data.length + metadata.length, 0)

function expectedOf(options: streams.BatchAppendReq.Options): Expected {
  if (options.hasStreamPosition()) return Number(options.getStreamPosition())
  if (options.hasNoStream()) return 'no-stream'
  return options.hasStreamExists() ? 'stream-exists' : 'any'
}

function settle(response: streams.BatchAppendResp, outcome: Outcome, expected: Expected): streams.BatchAppendResp {
  if (outcome.outcome === 'conflict') {
    const details = conflict(outcome.failures[0]?.actual ?? -1, expected)
    return response.setError(failure(status.FAILED_PRECONDITION, 'WrongExpectedVersion', details))
  }
  const position = new shared.AllStreamPosition()
  position.setCommitPosition(String(outcome.position)).setPreparePosition(String(outcome.position))
  const success = new streams.BatchAppendResp.Success().setCurrentRevision(String(outcome.revisions[0]))
  return response.setSuccess(success.setPosition(position))
}

function conflict(actual: number, expected: Expected): shared.WrongExpectedVersion {
  const details = new shared.WrongExpectedVersion()
  if (actual < 0) details.setCurrentNoStream(new empty.Empty())
  else details.setCurrentStreamRevision(String(actual))
  if (typeof expected === 'number') details.setExpectedStreamPosition(String(expected))
  if (expected === 'any') details.setExpectedAny(new empty.Empty())
  if (expected === 'no-stream') details.setExpectedNoStream(new empty.Empty())
  if (expected === 'stream-exists') details.setExpectedStreamExists(new empty.Empty())
  return details
}

type Details = 'Timeout' | 'MaximumAppendSizeExceeded' | 'WrongExpectedVersion'

function failure(grpcCode: status, name: Details, details: { serializeBinary(): Uint8Array }): rpc.Status {
  const error = new rpc.Status().setCode(grpcCode as unknown as code.Code).setMessage(name)
  return error.setDetails(pack(details, `event_store.client.${name}`))
}
