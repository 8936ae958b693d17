import { closeSync, openSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'

/** Freed by the kernel when this process ends, however it ends; children do not inherit it. */
export type Hold = { release(): void }

/** Takes an abstract name (per network namespace); undefined when somebody has it. */
export async function holdName(name: string): Promise<Hold | undefined> {
  try {
    const server = await listen(`\0${name}`)
    return { release: () => void server.close() }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return undefined
    throw error
  }
}

/** Listens at a path, in place of whoever did before; undefined on a filesystem that has no sockets, or is full. */
export async function holdPath(directory: string, name: string): Promise<Hold | undefined> {
  await rm(join(directory, name), { force: true })
  const short = shortPath(directory)
  try {
    const server = await listen(short.join(name))
    // Closing the server removes the path as it was given, so the descriptor has to stay until then.
    return { release: () => void server.close(short.close) }
  } catch (error) {
    short.close()
    const { code = '' } = error as NodeJS.ErrnoException
    if (isDiskFull(error) || ['EOPNOTSUPP', 'ENOTSUP', 'EPERM', 'EINVAL', 'ENOSYS'].includes(code)) return undefined
    throw error
  }
}

/** Somebody listens there. Holds across namespaces, as a path does. */
export async function answers(directory: string, name: string): Promise<boolean> {
  const short = shortPath(directory)
  try {
    return await new Promise<boolean>((resolve, reject) => {
      const socket = connect(short.join(name))
      socket.once('connect', () => resolve(true))
      socket.once('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') return resolve(false)
        // Its queue is full, which takes somebody who listens.
        if (error.code === 'EAGAIN') return resolve(true)
        reject(error)
      })
      socket.once('connect', () => socket.destroy())
    })
  } finally {
    short.close()
  }
}

/** Socket paths end at 107 bytes; a directory can be deeper than that, but is short by its descriptor. */
function shortPath(directory: string): { join(name: string): string; close(): void } {
  const fd = openSync(directory, 'r')
  return { join: (name) => `/proc/self/fd/${fd}/${name}`, close: () => closeSync(fd) }
}

function listen(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    // Nothing is said over it: that it exists is all.
    const server = createServer((socket) => socket.destroy())
    server.once('error', reject)
    server.listen(path, () => resolve(server))
    server.unref()
  })
}

export function isDiskFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === 'ENOSPC' || code === 'EDQUOT'
}
