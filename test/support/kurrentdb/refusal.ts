import { Metadata, status } from '@grpc/grpc-js'
import type code from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/code_pb.js'
import rpc from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/status_pb.js'
import any from 'google-protobuf/google/protobuf/any_pb.js'

/** An error as gRPC carries it: thrown by handlers, sent as the call's status. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly code: status
  readonly details: string
  readonly metadata: Metadata

  constructor(code: status, details: string, metadata: Record<string, string | Buffer> = {}) {
    super(details)
    this.code = code
    this.details = details
    this.metadata = new Metadata()
    for (const [key, value] of Object.entries(metadata)) this.metadata.set(key, value)
  }
}

export type Endpoint = { host: string; port: number }

export const invalidPosition = () => new Refusal(status.INVALID_ARGUMENT, 'Trying to read from an invalid position.')

export const operationTimedOut = () => new Refusal(status.ABORTED, 'Operation timed out: Commit phase timeout')

export const wrongCredentials = () => new Refusal(status.UNAUTHENTICATED, 'Unauthenticated')

export const accessDenied = () => new Refusal(status.PERMISSION_DENIED, 'Access Denied', { exception: 'access-denied' })

export const notLeader = (leader: Endpoint) =>
  new Refusal(status.NOT_FOUND, 'Leader info available', {
    exception: 'not-leader',
    'leader-endpoint-host': leader.host,
    'leader-endpoint-port': String(leader.port),
  })

type Message = { serializeBinary(): Uint8Array }

/** A message in the envelope in which errors carry their details. */
export function pack(message: Message, typeName: string): any.Any {
  const packed = new any.Any()
  packed.pack(message.serializeBinary(), typeName)
  return packed
}

/** An error of the v2 services: the details travel in `grpc-status-details-bin`. */
export function detailedRefusal(grpcCode: status, text: string, message: Message, typeName: string): Refusal {
  const packed = new rpc.Status()
  packed.setCode(grpcCode as unknown as code.Code)
  packed.setMessage(text)
  packed.setDetails(pack(message, typeName))
  return new Refusal(grpcCode, text, { 'grpc-status-details-bin': Buffer.from(packed.serializeBinary()) })
}
