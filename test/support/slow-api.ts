import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'

/**
 * A server that is never done: `GET /slow` is answered with a byte now and then, everything else is swallowed, and what
 * is not HTTP is left unread, as by a peer that has gone silent.
 */
export async function startSlowApi() {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    let dripping: NodeJS.Timeout | undefined
    // A connection that is reset is closed, too.
    socket.on('error', () => {})
    socket.once('close', () => {
      clearInterval(dripping)
      sockets.delete(socket)
    })
    socket.once('data', (data) => {
      const request = data.toString('latin1')
      if (!request.startsWith('GET ')) socket.pause()
      if (!request.startsWith('GET /slow')) return
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')
      dripping = setInterval(() => socket.write('1\r\nx\r\n'), 50)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    /** Connections that are open, as far as this end knows. */
    open: () => sockets.size,
    /** Reads on: who does not read does not hear that the other one has gone. */
    resume: () => sockets.forEach((socket) => void socket.resume()),
    async close(): Promise<void> {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
