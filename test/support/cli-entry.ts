/** The command line alone in a process of its own, without the rooms that main.ts composes. */
import { runCli } from '../../src/cli/cli.ts'

const notHere = async () => {
  throw new Error('composed by main.ts only')
}

process.exitCode = await runCli(process.argv.slice(2), {
  version: '1.2.3',
  env: process.env,
  cwd: process.cwd(),
  get stdin() {
    return process.stdin
  },
  stdout: process.stdout,
  stderr: process.stderr,
  composed: {
    up: notHere,
    down: notHere,
    killLocally: notHere,
    exportHistory: notHere,
    importHistory: notHere,
    doctor: notHere,
  },
})
