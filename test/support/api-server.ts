import type { Control } from '../../src/control/control.ts'
import { createAuthenticator } from '../../src/server/auth.ts'
import { createHttpServer, type HttpServer } from '../../src/server/http-server.ts'
import { createFakeControl, type FakeControl } from './fake-control.ts'

export const testToken = `rw_${'a'.repeat(43)}`

export type LogLine = { level: 'info' | 'warn' | 'error'; fields: Record<string, unknown>; message: string }
export type ApiServer = HttpServer & { control: FakeControl; logged: LogLine[]; [Symbol.asyncDispose](): Promise<void> }

/** The real HTTP server on any free port, in front of a fake control. */
export async function startApiServer(changes: Partial<Control> = {}): Promise<ApiServer> {
  const control = createFakeControl(changes)
  const logged: LogLine[] = []
  const write = (level: LogLine['level']) => (fields: object, message: string) =>
    void logged.push({ level, fields: fields as Record<string, unknown>, message })
  const log = { info: write('info'), warn: write('warn'), error: write('error') }
  const authenticate = createAuthenticator(testToken)
  const server = await createHttpServer({ control, authenticate, port: 0, log, version: '1.2.3' })
  return { ...server, control, logged, [Symbol.asyncDispose]: () => server.close() }
}
