import type { Account } from '../accounts.ts'
import { command } from './command.ts'

export type Answering = { account: Account | undefined; signal: AbortSignal | undefined }

const timeoutMs = 5_000

/**
 * Another process looks first at a directory that may lie on any file system. One that hangs (a network's, whose server
 * is gone) takes whoever looks along with it, and no signal frees him: it must not be this process, which has others'
 * kills to do. @throws when there is no answer; one that says that there is no such directory is fine
 */
export async function awaitAnswer(directory: string, { account, signal }: Answering): Promise<void> {
  const look = await command({ argv: ['true'], account, directory, outputBytesMax: 0, timeoutMs, signal })
  if (look.ended !== undefined) {
    throw new Error(`${directory} did not answer within ${timeoutMs / 1000} s: its file system may hang`)
  }
}
