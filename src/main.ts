import { readFileSync } from 'node:fs'
import { runCli } from './cli/cli.ts'
import type { Composed } from './cli/composed.ts'

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }

const say = (line: string) => void process.stderr.write(`runwarden: ${line}\n`)

/** The rooms behind `up` and `doctor` are loaded only by them: `runwarden ls` needs none of it. */
const composed: Composed = {
  async up(options) {
    const { up } = await import('./up.ts')
    return up(options, { env: process.env, version, say: (line) => process.stdout.write(`${line}\n`) })
  },
  async down(options) {
    const { down } = await import('./down.ts')
    return down(options, process.env)
  },
  async killLocally(options) {
    const { killLocally } = await import('./kill-locally.ts')
    return killLocally(options, { env: process.env, warn: say })
  },
  async exportHistory(options) {
    const { exportHistory } = await import('./export-history.ts')
    return exportHistory(options, { env: process.env, version, stdout: process.stdout, say })
  },
  async importHistory(options) {
    const { importHistory } = await import('./import-history.ts')
    return importHistory(options, { env: process.env, say })
  },
  async doctor() {
    const { doctor } = await import('./doctor.ts')
    return doctor(process.env)
  },
}

process.exitCode = await runCli(process.argv.slice(2), {
  version,
  env: process.env,
  cwd: process.cwd(),
  // Looked at by the command that needs it: it opens the stream.
  get stdin() {
    return process.stdin
  },
  stdout: process.stdout,
  stderr: process.stderr,
  composed,
})
