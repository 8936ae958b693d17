import { spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { type Account, asAccount } from '../accounts.ts'
import { cleanPath } from '../environment.ts'

export type CommandOptions = {
  argv: readonly string[]
  /** The run's, where it is another than ours: then the command can read and change only what the run could. */
  account: Account | undefined
  /** Entered by the command itself, as its account. */
  directory?: string
  environment?: Readonly<Record<string, string>>
  input?: Buffer | undefined
  /** A new file for what it writes to stdout; without it, the result holds that. */
  toFile?: string
  /** Of stdout; what writes more is ended. */
  outputBytesMax: number
  timeoutMs: number
  signal?: AbortSignal | undefined
}

export type CommandResult = {
  /** null: it was ended. */
  status: number | null
  stdout: Buffer
  outputBytes: number
  /** The end of what it said; for people. */
  stderr: string
  /** Why it was ended. */
  ended: 'TOO_MUCH_OUTPUT' | 'TIMEOUT' | 'ABORTED' | undefined
}

/** The program is not on this machine. */
export class ProgramMissing extends Error {
  override readonly name = 'ProgramMissing'
}

const stderrMax = 2_000
/** Whoever waits for a file system that hangs does not even die of SIGKILL. He is left alone then. */
const deathWaitMs = 1_000
/** Entered without the shell's own variables getting in the way: $0 is the directory. */
const enter = 'cd -- "$0" && exec "$@"'

/**
 * Runs a program for the host, with an environment of its own and nothing of the server's. It leads a process group,
 * so that what it starts ends with it.
 * @throws ProgramMissing, or the error of the file system when `toFile` cannot be written
 */
export function command(options: CommandOptions): Promise<CommandResult> {
  const { account, directory, environment = {}, input, timeoutMs, signal } = options
  const inside = directory === undefined ? options.argv : ['/bin/sh', '-c', enter, directory, ...options.argv]
  const [program, ...args] = [...(account === undefined ? [] : asAccount(account)), ...inside] as [string, ...string[]]
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: '/',
      env: { PATH: cleanPath, LC_ALL: 'C', ...environment },
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    let ended: CommandResult['ended']
    let stderr = ''
    let leaveTimer: NodeJS.Timeout | undefined
    const leave = () => {
      settle()
      child.unref()
      for (const stream of child.stdio) stream?.destroy()
      resolve({ status: null, stdout: Buffer.alloc(0), outputBytes: 0, stderr: stderr.trim(), ended })
    }
    const end = (why: NonNullable<CommandResult['ended']>) => {
      ended ??= why
      leaveTimer ??= setTimeout(leave, deathWaitMs)
      // Its own group: the leader is our child and not collected yet, so the number can be nobody else's.
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) endGroup(child.pid)
    }
    const timer = setTimeout(() => end('TIMEOUT'), timeoutMs)
    const onAbort = () => end('ABORTED')
    signal?.addEventListener('abort', onAbort, { once: true })
    if (signal?.aborted) onAbort()
    const settle = () => {
      clearTimeout(timer)
      clearTimeout(leaveTimer)
      signal?.removeEventListener('abort', onAbort)
    }
    child.once('error', (error: NodeJS.ErrnoException) => {
      settle()
      reject(error.code === 'ENOENT' ? new ProgramMissing(`This machine has no ${program}.`, { cause: error }) : error)
    })
    child.stderr.on('data', (chunk) => {
      stderr = `${stderr}${chunk}`.slice(-stderrMax)
    })
    // A program that does not read to the end has said why.
    child.stdin.on('error', () => {})
    child.stdin.end(input)
    const output = keep(child.stdout, options, () => end('TOO_MUCH_OUTPUT'))
    const closed = new Promise<number | null>((done) => child.once('close', (status) => done(status)))
    output.catch(() => end('ABORTED'))
    Promise.all([output, closed]).then(
      ([{ stdout, outputBytes }, status]) => {
        settle()
        if (status === 127) reject(new ProgramMissing(`This machine has no ${options.argv[0]}.`))
        else resolve({ status: ended === undefined ? status : null, stdout, outputBytes, stderr: stderr.trim(), ended })
      },
      (error) => {
        settle()
        reject(error)
      },
    )
  })
}

function endGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

async function keep(
  stream: Readable,
  { toFile, outputBytesMax }: CommandOptions,
  tooMuch: () => void,
): Promise<{ stdout: Buffer; outputBytes: number }> {
  const file = toFile === undefined ? undefined : createWriteStream(toFile, { flags: 'wx', mode: 0o600, flush: true })
  const failed = new Promise<never>((_, reject) => file?.once('error', reject))
  failed.catch(() => {})
  const chunks: Buffer[] = []
  let outputBytes = 0
  const read = async () => {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (outputBytes + chunk.length > outputBytesMax) {
        tooMuch()
        continue
      }
      outputBytes += chunk.length
      if (file === undefined) chunks.push(chunk)
      else if (!file.write(chunk)) await new Promise<void>((drained) => file.once('drain', () => drained()))
    }
    if (file !== undefined) await new Promise<void>((done) => file.end(done))
  }
  await Promise.race([read(), failed])
  return { stdout: Buffer.concat(chunks), outputBytes }
}

/** What stands in the way, when a command did not do its work. */
export function failureOf(name: string, { status, stderr, ended }: CommandResult): Error {
  const how = ended === undefined ? `ended with status ${status}` : `was ended: ${ended}`
  return new Error(`${name} ${how}${stderr === '' ? '' : `: ${stderr.slice(-500)}`}`)
}
