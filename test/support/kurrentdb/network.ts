import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

export type Network = ReturnType<typeof createNetwork>

/** The cable between the clients and a server that listens elsewhere: a port of its own, that can be cut and come back. */
export function createNetwork(port = 0) {
  const sockets = new Set<Socket>()
  let listening: Server | undefined

  function keep(socket: Socket): void {
    sockets.add(socket)
    // A connection that is reset is closed, too.
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
  }

  function join(client: Socket, server: Socket): void {
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      keep(from)
      from.pipe(to)
      from.once('close', () => to.destroy())
    }
  }

  /** Every connection ends without a word, as when the machine at the other end is gone. */
  function cut(): void {
    for (const socket of sockets) socket.resetAndDestroy()
  }

  return {
    cut,
    get port() {
      return port
    },
    /** @param to the port on loopback that the clients' connections lead to. The own port stays the same from then on. */
    async open(to: number): Promise<void> {
      listening = createServer({ noDelay: true }, (client) =>
        join(client, connect({ host: '127.0.0.1', port: to, noDelay: true })),
      )
      listening.listen(port, '127.0.0.1')
      await once(listening, 'listening')
      port = (listening.address() as AddressInfo).port
    },
    /** Connections are refused. */
    async close(): Promise<void> {
      const closing = listening
      listening = undefined
      if (closing === undefined) return
      const closed = once(closing, 'close')
      closing.close()
      cut()
      await closed
    },
  }
}
