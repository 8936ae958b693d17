import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** Somebody else listens there. */
export class PortInUse extends Error {
  override readonly name = 'PortInUse'
  readonly port: number

  constructor(port: number, address: string, options: ErrorOptions) {
    super(
      `Port ${port} of ${address} is in use. If a Runwarden serves there, use it, or end it with "runwarden down"; ` +
        'else choose another port with RUNWARDEN_PORT.',
      options,
    )
    this.port = port
  }
}

/** This account may not listen there, or this machine has no such address. */
export class CannotListen extends Error {
  override readonly name = 'CannotListen'
}

/** @throws PortInUse, CannotListen */
export async function listen(server: Server, port: number, address: string): Promise<{ url: string; port: number }> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const fail = (error: NodeJS.ErrnoException) => reject(explained(error, port, address))
  server.once('error', fail)
  server.listen({ port, host: address }, resolve)
  await promise
  server.off('error', fail)
  const bound = server.address() as AddressInfo
  const host = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address
  return { url: `http://${host}:${bound.port}`, port: bound.port }
}

function explained(error: NodeJS.ErrnoException, port: number, address: string): Error {
  if (error.code === 'EADDRINUSE') return new PortInUse(port, address, { cause: error })
  if (error.code === 'EACCES') {
    const message = `This account may not listen on port ${port} of ${address}. Choose one above 1023 with RUNWARDEN_PORT.`
    return new CannotListen(message, { cause: error })
  }
  if (error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND') {
    return new CannotListen(`This machine has no address ${address} to listen on. Name one that it has.`, {
      cause: error,
    })
  }
  return error
}
