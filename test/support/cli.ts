import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { runCli } from '../../src/cli/cli.ts'
import type { Composed } from '../../src/cli/composed.ts'

export type CliOptions = {
  env?: Record<string, string>
  /** Columns of the terminal that stdout pretends to be. */
  terminal?: number
  composed?: Partial<Composed>
}

export type CliResult = { code: number | null; stdout: string; stderr: string }

/** Runs a command line in this process. The data directory is one that does not exist, unless `env` names another. */
export async function cli(argv: string[], { env = {}, terminal, composed = {} }: CliOptions = {}): Promise<CliResult> {
  const [stdout, stderr] = [collector(), collector()]
  const code = await runCli(argv, {
    version: '1.2.3',
    env: { RUNWARDEN_DATA_DIR: '/nonexistent/runwarden', ...env },
    cwd: '/somewhere',
    stdin: new PassThrough(),
    stdout: Object.assign(stdout.stream, terminal === undefined ? {} : { isTTY: true, columns: terminal }),
    stderr: stderr.stream,
    composed: {
      up: unexpected,
      down: unexpected,
      killLocally: unexpected,
      exportHistory: unexpected,
      importHistory: unexpected,
      doctor: unexpected,
      ...composed,
    },
  })
  return { code, stdout: stdout.text(), stderr: stderr.text() }
}

/** The command line against a server that is there: `ok` for what must succeed, `json` for its parsed answer. */
export function cliOf(server: () => { url: string; token: string }) {
  const run = (...argv: string[]) =>
    cli(argv, { env: { RUNWARDEN_URL: server().url, RUNWARDEN_TOKEN: server().token } })
  async function ok(...argv: string[]): Promise<string> {
    const { code, stdout, stderr } = await run(...argv)
    if (code !== 0) throw new Error(`runwarden ${argv.join(' ')} ended with ${code}: ${stderr}`)
    return stdout.trim()
  }
  return { cli: run, ok, json: async (...argv: string[]) => JSON.parse(await ok(...argv, '--json')) }
}

async function unexpected(): Promise<never> {
  throw new Error('this command is not expected to be called here')
}

function collector(): { stream: Writable; text(): string } {
  const chunks: Buffer[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk)
      done()
    },
  })
  return { stream, text: () => Buffer.concat(chunks).toString() }
}

export type SpawnedCli = {
  child: ChildProcess
  stdout(): string
  stderr(): string
  ended: Promise<CliResult>
}

/** Runs a command line in a process of its own; ends within `limitMs` by whatever means. */
export function spawnCli(argv: string[], env: Record<string, string>, limitMs = 10_000): SpawnedCli {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'cli-entry.ts'), ...argv], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const written = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    written.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    written.stderr += text
  })
  const limit = setTimeout(() => child.kill('SIGKILL'), limitMs)
  const ended = once(child, 'close').then(([code]) => {
    clearTimeout(limit)
    return { code: code as number | null, ...written }
  })
  return { child, stdout: () => written.stdout, stderr: () => written.stderr, ended }
}
