import { randomUUID } from 'node:crypto'
import type { ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js'
import gossip from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/gossip_pb.js'
import features from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/serverfeatures_pb.js'
import shared from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/shared_pb.js'
import type { Context } from './context.ts'
import type { Endpoint } from './refusal.ts'

export type ServerVersion = '24.10.0' | '25.1.0' | '26.1.0'

/** The server lists its methods in lower case. */
const methods = (version: ServerVersion) => ({
  'event_store.client.streams.streams': ['read', 'append', 'batchappend'],
  'event_store.client.gossip.gossip': ['read'],
  'kurrentdb.protocol.v2.streams.streamsservice': {
    '24.10.0': [],
    '25.1.0': ['appendsession'],
    '26.1.0': ['appendsession', 'appendrecords'],
  }[version],
})

/** `ServerFeatures/GetSupportedMethods`: anybody may ask. */
export const handleFeatures =
  ({ faults, version }: Context) =>
  async (_call: ServerUnaryCall<shared.Empty, unknown>, answer: sendUnaryData<features.SupportedMethods>) => {
    await faults.pass()
    const list = Object.entries(methods(version)).flatMap(([service, names]) =>
      names.map((name) => new features.SupportedMethod().setServiceName(service).setMethodName(name)),
    )
    answer(null, new features.SupportedMethods().setMethodsList(list).setEventStoreServerVersion(version))
  }

/** `Gossip/Read`: who is in the cluster, and who leads it. Anybody may ask. */
export const handleGossip =
  ({ faults, endpoint }: Context) =>
  async (_call: ServerUnaryCall<shared.Empty, unknown>, answer: sendUnaryData<gossip.ClusterInfo>) => {
    await faults.pass()
    const { FOLLOWER, LEADER } = gossip.MemberInfo.VNodeState
    const members =
      faults.leader === undefined
        ? [member(endpoint(), LEADER)]
        : [member(endpoint(), FOLLOWER), member(faults.leader, LEADER)]
    answer(null, new gossip.ClusterInfo().setMembersList(members))
  }

function member({ host, port }: Endpoint, state: gossip.MemberInfo.VNodeState): gossip.MemberInfo {
  const info = new gossip.MemberInfo().setInstanceId(new shared.UUID().setString(randomUUID())).setState(state)
  info.setIsAlive(true).setTimeStamp(String(Date.now() * 10_000))
  return info.setHttpEndPoint(new gossip.EndPoint().setAddress(host).setPort(port))
}
