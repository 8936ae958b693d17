import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type ProcessIdentity, sameProcess } from '../src/domain/process-identity.ts'
import { readIdentity } from '../src/os/process-identity.ts'

const project = join(import.meta.dirname, '..')
const program = join(project, 'src/main.ts')

/** What a command said, and how it ended. */
export type Said = { stdout: string; code: number }

/** A Runwarden of the demo's own: a server on any free port, with a database and runs in a temporary directory. */
export class Stage {
  readonly #directory: string
  readonly #server: ChildProcess
  readonly #seen = new Map<number, ProcessIdentity>()

  private constructor(directory: string, server: ChildProcess) {
    this.#directory = directory
    this.#server = server
  }

  /** Resolves when the server is ready. @throws when it ends before that */
  static async open(): Promise<Stage> {
    const directory = mkdtempSync(join(tmpdir(), 'runwarden-demo-'))
    // Runs and the database's account pass through on their way to what is theirs.
    await chmod(directory, 0o711)
    const server = spawn(process.execPath, [program, 'up', '--port', '0'], {
      cwd: project,
      env: environment(directory),
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    const stage = new Stage(directory, server)
    try {
      await until('the server to be ready', async () => {
        if (server.exitCode !== null) throw new Error(`the server ended with status ${server.exitCode}`)
        const { url } = readOwner(directory)
        return url !== undefined && (await fetch(`${url}/readyz`)).ok
      })
    } catch (error) {
      await stage.close()
      throw error
    }
    return stage
  }

  /** Runs a command of Runwarden and shows both, as an operator's terminal would. */
  async type(...args: string[]): Promise<Said> {
    process.stdout.write(`\n$ runwarden ${args.map(quoted).join(' ')}\n`)
    return this.#run(args, (text) => void process.stdout.write(text))
  }

  /** Runs a command quietly. */
  ask(...args: string[]): Promise<Said> {
    return this.#run(args, () => {})
  }

  async #run(args: string[], show: (text: string) => void): Promise<Said> {
    const child = spawn(process.execPath, [program, ...args], {
      cwd: join(project, 'demo/agents'),
      env: environment(this.#directory),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let stdout = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
      show(text)
    })
    child.stderr.setEncoding('utf8').on('data', show)
    const [code] = (await once(child, 'close')) as [number | null]
    return { stdout, code: code ?? 1 }
  }

  /** Notes every process that carries a run's marker, so that its end can be proven without Runwarden's word for it. */
  look(): number {
    for (const pid of pids()) {
      if (!isOfTheDemo(pid, this.#directory)) continue
      const identity = readIdentity(pid)
      if (identity !== undefined) this.#seen.set(pid, identity)
    }
    return this.#seen.size
  }

  /** Those of the noted processes that live, and any that carries a marker of this stage. */
  survivors(): number[] {
    this.look()
    return [...this.#seen.values()].filter(isAlive).map(({ pid }) => pid)
  }

  get seen(): number {
    return this.#seen.size
  }

  /** Stops the server, which takes its database with it, and removes everything that was made. */
  async close(): Promise<void> {
    if (this.#server.exitCode === null && this.#server.signalCode === null) {
      this.#server.kill('SIGTERM')
      await once(this.#server, 'exit')
    }
    rmSync(this.#directory, { recursive: true, force: true })
  }

  get isRemoved(): boolean {
    return !existsSync(this.#directory)
  }
}

/** Polls; a minute is more than the whole demo takes. */
export async function until(what: string, isSo: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + 60_000
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`waited a minute for ${what}`)
    await delay(100)
  }
}

/** Of the machine's environment only what programs need to be found and to show colours. */
function environment(directory: string): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR, NO_COLOR, RUNWARDEN_CGROUPS, RUNWARDEN_POSTGRES_ACCOUNT } = process.env
  return {
    ...given({ PATH, HOME, TMPDIR, NO_COLOR, RUNWARDEN_CGROUPS, RUNWARDEN_POSTGRES_ACCOUNT }),
    RUNWARDEN_DATA_DIR: directory,
    RUNWARDEN_CHECK_INTERVAL_MS: '500',
    RUNWARDEN_LOG_LEVEL: 'error',
  }
}

const given = (variables: NodeJS.ProcessEnv) =>
  Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== undefined))

function readOwner(directory: string): { url?: string } {
  const path = join(directory, 'owner.json')
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {}
}

const quoted = (argument: string) => (/^[\w./:=+#-]+$/.test(argument) ? argument : `'${argument}'`)

const pids = () =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)

/** The marker, and a directory that nobody else's run has. */
function isOfTheDemo(pid: number, directory: string): boolean {
  const environ = readOrEmpty(`/proc/${pid}/environ`).split('\0')
  return (
    environ.some((line) => line.startsWith('RUNWARDEN_RUN_ID=')) && environ.some((line) => line.includes(directory))
  )
}

function isAlive(identity: ProcessIdentity): boolean {
  const now = readIdentity(identity.pid)
  if (now === undefined || !sameProcess(now, identity)) return false
  return !/^State:\s+[ZX]/m.test(readOrEmpty(`/proc/${identity.pid}/status`))
}

/** A process may go while we look, and the kernel's own show nothing. */
function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
