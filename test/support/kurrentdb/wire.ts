import { randomUUID } from 'node:crypto'
import shared from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/shared_pb.js'
import streams from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_pb.js'
import timestamps from 'google-protobuf/google/protobuf/timestamp_pb.js'
import type { LogRecord, Proposed } from './log.ts'

/** A position in the log as the protocol has it; both parts are offsets. */
export type Place = { commit: number; prepare: number }

export const placeOf = ({ offset }: LogRecord): Place => ({ commit: offset, prepare: offset })

/** Whether a comes after b. */
export const isAfter = (a: Place, b: Place) => a.commit > b.commit || (a.commit === b.commit && a.prepare > b.prepare)

export const nameOf = (identifier: shared.StreamIdentifier | undefined): string =>
  Buffer.from(identifier?.getStreamName_asU8() ?? []).toString()

export function identify(stream: string): shared.StreamIdentifier {
  return new shared.StreamIdentifier().setStreamName(Buffer.from(stream))
}

const half = (bits: string) => BigInt.asUintN(64, BigInt(bits)).toString(16).padStart(16, '0')

/** A UUID comes as text, or as two signed halves. */
export function uuidText(uuid: shared.UUID | undefined): string {
  const halves = uuid?.getStructured()
  if (halves === undefined) return (uuid?.getString() ?? randomUUID()).toLowerCase()
  const hex = half(halves.getMostSignificantBits()) + half(halves.getLeastSignificantBits())
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

export function toUuid(text: string, isText: boolean): shared.UUID {
  if (isText) return new shared.UUID().setString(text)
  const hex = text.replaceAll('-', '')
  const bits = (part: string) => BigInt.asIntN(64, BigInt(`0x${part}`)).toString()
  const halves = new shared.UUID.Structured()
  halves.setMostSignificantBits(bits(hex.slice(0, 16))).setLeastSignificantBits(bits(hex.slice(16)))
  return new shared.UUID().setStructured(halves)
}

/** An event as both of the v1 append calls propose it. */
export function toProposed(
  message: streams.AppendReq.ProposedMessage | streams.BatchAppendReq.ProposedMessage,
): Proposed {
  const metadata = message.getMetadataMap()
  return {
    id: uuidText(message.getId()),
    type: metadata.get('type') ?? '',
    isJson: metadata.get('content-type') === 'application/json',
    data: message.getData_asU8(),
    metadata: message.getCustomMetadata_asU8(),
  }
}

export function toReadEvent(record: LogRecord, hasTextIds: boolean): streams.ReadResp {
  const event = new streams.ReadResp.ReadEvent.RecordedEvent()
  event.setId(toUuid(record.id, hasTextIds)).setStreamIdentifier(identify(record.stream))
  event.setStreamRevision(String(record.revision))
  event.setCommitPosition(String(record.offset)).setPreparePosition(String(record.offset))
  event.setData(record.data).setCustomMetadata(record.metadata)
  const metadata = event.getMetadataMap()
  metadata.set('type', record.type)
  metadata.set('content-type', record.isJson ? 'application/json' : 'application/octet-stream')
  // 100 ns since 1970.
  metadata.set('created', String(record.createdMs * 10_000))
  const read = new streams.ReadResp.ReadEvent().setEvent(event).setCommitPosition(String(record.offset))
  return new streams.ReadResp().setEvent(read)
}

const timestamp = () => timestamps.Timestamp.fromDate(new Date())

export function toCheckpoint({ commit, prepare }: Place): streams.ReadResp {
  const checkpoint = new streams.ReadResp.Checkpoint().setTimestamp(timestamp())
  return new streams.ReadResp().setCheckpoint(
    checkpoint.setCommitPosition(String(commit)).setPreparePosition(String(prepare)),
  )
}

/** @param at undefined in the beginning of the log. */
export function toCaughtUp(at: Place | undefined): streams.ReadResp {
  const caughtUp = new streams.ReadResp.CaughtUp().setTimestamp(timestamp())
  if (at !== undefined) {
    const position = new streams.ReadResp.Position()
    caughtUp.setPosition(position.setCommitPosition(String(at.commit)).setPreparePosition(String(at.prepare)))
  }
  return new streams.ReadResp().setCaughtUp(caughtUp)
}
