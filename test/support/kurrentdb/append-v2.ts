import { type ServerReadableStream, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js'
import failures from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v2/errors_pb.js'
import errors from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v2/streams/errors_pb.js'
import v2 from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v2/streams/streams_pb.js'
import { admit, type Context, commit } from './context.ts'
import type { Expected, Outcome, Proposed, Transaction } from './log.ts'
import { detailedRefusal, Refusal } from './refusal.ts'

type SessionCall = ServerReadableStream<v2.AppendRequest, v2.AppendSessionResponse>
type RecordsCall = ServerUnaryCall<v2.AppendRecordsRequest, v2.AppendRecordsResponse>
type Conflict = Extract<Outcome, { outcome: 'conflict' }>

/** `StreamsService/AppendSession` (25.1): several streams in one transaction, each with what is expected of it. */
export const handleAppendSession =
  (context: Context) => async (call: SessionCall, answer: sendUnaryData<v2.AppendSessionResponse>) => {
    try {
      const requests: v2.AppendRequest[] = []
      for await (const request of call as AsyncIterable<v2.AppendRequest>) requests.push(request)
      await admitLeader(context, call)
      const transaction = {
        streams: requests.map((request) => ({
          stream: request.getStream(),
          expected: toExpected(request.hasExpectedRevision() ? request.getExpectedRevision() : undefined),
        })),
        events: requests.flatMap((request, streamIndex) =>
          request.getRecordsList().map((record) => ({ ...toProposed(record), streamIndex })),
        ),
      }
      refuseRepetition(requests)
      refuseSize(context, transaction)
      const outcome = commit(context, transaction)
      if (outcome?.outcome === 'conflict') throw revisionConflict(transaction, outcome)
      if (outcome !== undefined) answer(null, toSessionResponse(transaction, outcome))
    } catch (error) {
      answer(error as Error)
    }
  }

/** `StreamsService/AppendRecords` (26.1): the records' own order, and checks of any stream. */
export const handleAppendRecords =
  (context: Context) => async (call: RecordsCall, answer: sendUnaryData<v2.AppendRecordsResponse>) => {
    try {
      await admitLeader(context, call)
      const transaction = toTransaction(call.request)
      refuseSize(context, transaction)
      const outcome = commit(context, transaction)
      if (outcome?.outcome === 'conflict') throw violation(call.request, transaction, outcome)
      if (outcome !== undefined) answer(null, toRecordsResponse(transaction, outcome))
    } catch (error) {
      answer(error as Error)
    }
  }

/** The v2 services always require the leader, and have their own words for what is wrong. */
async function admitLeader(context: Context, call: SessionCall | RecordsCall): Promise<void> {
  await admit(context, call.metadata)
  const { leader, isFull } = context.faults
  if (isFull) throw new Refusal(status.DEADLINE_EXCEEDED, 'Operation timed out while waiting for commit.')
  if (leader === undefined) return
  const node = new failures.NotLeaderNodeErrorDetails.NodeInfo().setHost(leader.host).setPort(leader.port)
  const details = new failures.NotLeaderNodeErrorDetails().setCurrentLeader(node)
  const text = 'The server is not the leader node and cannot handle the request.'
  throw detailedRefusal(
    status.FAILED_PRECONDITION,
    text,
    details,
    'kurrentdb.protocol.v2.errors.NotLeaderNodeErrorDetails',
  )
}

function toTransaction(request: v2.AppendRecordsRequest): Transaction {
  const streams: { stream: string; expected: Expected }[] = []
  const indexOf = (stream: string) => {
    const found = streams.findIndex((known) => known.stream === stream)
    return found >= 0 ? found : streams.push({ stream, expected: 'any' }) - 1
  }
  const events = request
    .getRecordsList()
    .map((record) => ({ ...toProposed(record), streamIndex: indexOf(record.getStream()) }))
  for (const check of request.getChecksList()) {
    const state = check.getStreamState()
    if (state === undefined) continue
    streams[indexOf(state.getStream())] = { stream: state.getStream(), expected: toExpected(state.getExpectedState()) }
  }
  return { streams, events }
}

function toExpected(text = '-2'): Expected {
  const named: Record<string, Expected> = { '-1': 'no-stream', '-2': 'any', '-4': 'stream-exists' }
  return named[text] ?? Number(text)
}

function toProposed(record: v2.AppendRecord): Proposed {
  const properties = record.getPropertiesMap().toArray()
  const metadata = Object.fromEntries(
    properties.map(([key]) => [key, record.getPropertiesMap().get(key)?.toJavaScript()]),
  )
  const isJson = record.getSchema()?.getFormat() === v2.SchemaFormat.SCHEMA_FORMAT_JSON
  return {
    id: record.hasRecordId() ? (record.getRecordId() ?? '').toLowerCase() : crypto.randomUUID(),
    type: record.getSchema()?.getName() ?? '',
    isJson,
    data: record.getData_asU8(),
    // Readers of v1 get the properties as JSON.
    metadata: properties.length === 0 ? new Uint8Array() : Buffer.from(JSON.stringify(metadata)),
  }
}

function refuseRepetition(requests: readonly v2.AppendRequest[]): void {
  const names = requests.map((request) => request.getStream().toLowerCase())
  if (new Set(names).size < names.length) {
    throw new Refusal(status.ABORTED, 'A stream is already part of this append session.')
  }
}

function refuseSize({ maxAppendBytes }: Context, { events }: Transaction): void {
  const size = events.reduce((sum, { type, data, metadata }) => sum + type.length + data.length + metadata.length, 0)
  if (size <= maxAppendBytes) return
  const details = new errors.AppendTransactionSizeExceededErrorDetails().setSize(size).setMaxSize(maxAppendBytes)
  const text = 'The total size of the append transaction exceeds the maximum allowed size.'
  throw detailedRefusal(status.ABORTED, text, details, typeNameOf('AppendTransactionSizeExceededErrorDetails'))
}

const typeNameOf = (name: string) => `kurrentdb.protocol.v2.streams.errors.${name}`

function revisionConflict({ streams }: Transaction, { failures: [failure] }: Conflict): Refusal {
  const failed = streams[failure?.streamIndex ?? -1]
  // The real server looks for the first failure here, too, and finds none.
  if (failure === undefined || failed === undefined) return new Refusal(status.INTERNAL, 'Index was out of range.')
  const details = new errors.StreamRevisionConflictErrorDetails().setStream(failed.stream)
  details.setExpectedRevision(fromExpected(failed.expected)).setActualRevision(String(failure.actual))
  const text = `Append failed due to a revision conflict on stream '${failed.stream}'.`
  return detailedRefusal(status.FAILED_PRECONDITION, text, details, typeNameOf('StreamRevisionConflictErrorDetails'))
}

function violation(request: v2.AppendRecordsRequest, { streams }: Transaction, conflict: Conflict): Refusal {
  const checked = request.getChecksList().map((check) => check.getStreamState()?.getStream())
  const details = new errors.AppendConsistencyViolationErrorDetails()
  for (const { streamIndex, actual } of conflict.failures) {
    const { stream, expected } = streams[streamIndex] ?? { stream: '', expected: 'any' as const }
    const state = new errors.ConsistencyViolation.StreamStateViolation().setStream(stream)
    state.setExpectedState(fromExpected(expected)).setActualState(String(actual))
    details.addViolations(
      new errors.ConsistencyViolation().setCheckIndex(checked.indexOf(stream)).setStreamState(state),
    )
  }
  const name = typeNameOf('AppendConsistencyViolationErrorDetails')
  return detailedRefusal(status.FAILED_PRECONDITION, 'A consistency check failed.', details, name)
}

function fromExpected(expected: Expected): string {
  return typeof expected === 'number'
    ? String(expected)
    : { 'no-stream': '-1', any: '-2', 'stream-exists': '-4' }[expected]
}

type Committed = Extract<Outcome, { outcome: 'committed' }>

function toSessionResponse({ streams }: Transaction, { revisions, position }: Committed): v2.AppendSessionResponse {
  const output = streams.map(({ stream }, index) =>
    new v2.AppendResponse().setStream(stream).setStreamRevision(String(revisions[index])),
  )
  return new v2.AppendSessionResponse().setOutputList(output).setPosition(String(position))
}

function toRecordsResponse(transaction: Transaction, { revisions, position }: Committed): v2.AppendRecordsResponse {
  const written = new Set(transaction.events.map(({ streamIndex }) => streamIndex))
  const list = [...written].map((index) =>
    new v2.StreamRevision().setStream(transaction.streams[index]?.stream ?? '').setRevision(String(revisions[index])),
  )
  return new v2.AppendRecordsResponse().setRevisionsList(list).setPosition(String(position))
}
