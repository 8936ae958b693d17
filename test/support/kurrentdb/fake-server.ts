import { Server, ServerCredentials } from '@grpc/grpc-js'
import gossipService from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/gossip_grpc_pb.js'
import featuresService from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/serverfeatures_grpc_pb.js'
import streamsService from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_grpc_pb.js'
import streamsServiceV2 from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v2/streams/streams_grpc_pb.js'
import { handleAppend } from './append.ts'
import { handleAppendRecords, handleAppendSession } from './append-v2.ts'
import { handleBatchAppend } from './batch-append.ts'
import type { Certificates } from './certificates.ts'
import type { Context } from './context.ts'
import { createFaults, type Faults } from './faults.ts'
import { createLog, type Log } from './log.ts'
import { createNetwork } from './network.ts'
import { handleFeatures, handleGossip, type ServerVersion } from './node.ts'
import { handleRead } from './read.ts'
import type { Endpoint } from './refusal.ts'

export type FakeKurrentDbOptions = {
  /** Default 0: any that is free. */
  port?: number
  /** Another node's log: of one cluster, as if it were replicated in no time. Default: an empty one. */
  log?: Log
  /** Serves TLS with these. Default: an insecure node. */
  certificates?: Certificates
  /** Passwords by user, asked for with TLS only, as the real server does. */
  users?: Record<string, string>
  /** Default 1 MiB, as on a real server. */
  maxAppendBytes?: number
  /** Which calls there are: those for many streams came with 25.1 and 26.1. Default 26.1.0. */
  version?: ServerVersion
}

export type FakeKurrentDb = {
  readonly endpoint: Endpoint
  readonly log: Log
  readonly faults: Faults
  /** What the official client connects with. Credentials go in front of the host. */
  connectionString(options?: { credentials?: string; query?: string; discover?: boolean }): string
  /** Cuts every connection; new ones are taken. */
  cut(): void
  /** As SIGKILL: connections are cut and refused. What was committed stays. */
  stop(): Promise<void>
  /** On the same port again, without what the server had in memory alone. */
  start(): Promise<void>
}

/**
 * A fake KurrentDB server, on the wire: gRPC with the service definitions that the official client ships, and the rules
 * of the real one (versions 25.1 and 26), read in its source. It keeps its log in memory. Without: deleting, links,
 * subscriptions to one stream, persistent subscriptions.
 */
export async function startFakeKurrentDb(options: FakeKurrentDbOptions = {}): Promise<FakeKurrentDb> {
  const { log = createLog(), certificates, users, maxAppendBytes = 1024 * 1024, version = '26.1.0' } = options
  const faults = createFaults()
  const network = createNetwork(options.port)
  const endpoint = () => ({ host: '127.0.0.1', port: network.port })
  const context = { log, faults, endpoint, users: certificates && users, maxAppendBytes, version }
  let server: Server | undefined

  async function start(): Promise<void> {
    log.restart()
    server = serve(context)
    await network.open(await listen(server, certificates))
  }

  async function stop(): Promise<void> {
    await network.close()
    server?.forceShutdown()
    server = undefined
  }

  await start()
  return {
    log,
    faults,
    start,
    stop,
    cut: network.cut,
    get endpoint() {
      return endpoint()
    },
    connectionString({ credentials, query, discover = false } = {}) {
      const scheme = discover ? 'kurrentdb+discover' : 'kurrentdb'
      const who = credentials === undefined ? '' : `${credentials}@`
      const settings = [`tls=${certificates !== undefined}`, ...(query === undefined ? [] : [query])]
      return `${scheme}://${who}127.0.0.1:${network.port}?${settings.join('&')}`
    },
  }
}

function serve(context: Context): Server {
  const server = new Server({ 'grpc.max_receive_message_length': 17 * 1024 * 1024 })
  server.addService(streamsService.StreamsService, {
    read: handleRead(context),
    append: handleAppend(context),
    batchAppend: handleBatchAppend(context),
  })
  server.addService(streamsServiceV2.StreamsServiceService, {
    appendSession: handleAppendSession(context),
    appendRecords: handleAppendRecords(context),
  })
  server.addService(featuresService.ServerFeaturesService, { getSupportedMethods: handleFeatures(context) })
  server.addService(gossipService.GossipService, { read: handleGossip(context) })
  return server
}

/** @returns the port, on loopback */
function listen(server: Server, certificates: Certificates | undefined): Promise<number> {
  const credentials =
    certificates === undefined
      ? ServerCredentials.createInsecure()
      : ServerCredentials.createSsl(null, [
          { private_key: Buffer.from(certificates.key), cert_chain: Buffer.from(certificates.certificate) },
        ])
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, port) => (error === null ? resolve(port) : reject(error)))
  })
}
