import type { Command } from 'commander'
import { type Connection, connect } from './connection.ts'
import type { CliDeps } from './deps.ts'
import type { ServerOptions } from './locate.ts'
import { createScreen, type Screen } from './screen.ts'

/** What every command gets. */
export type CliContext = {
  deps: CliDeps
  screen: Screen
  connect(options: ServerOptions): Connection
  /** How the command ends, if it does not throw: `ok` unless said otherwise. Other codes are those of another program. */
  end(code: number): void
}

export const createContext = (deps: CliDeps, end: (code: number) => void): CliContext => ({
  deps,
  screen: createScreen(deps),
  connect: (options) => connect(options, deps.env),
  end,
})

/** The options of a command that speaks to a server. */
export const withServer = (command: Command) =>
  command
    .option('--url <url>', 'the server (RUNWARDEN_URL; else the one of this machine)')
    .option('--token-file <file>', 'file that holds the token (or RUNWARDEN_TOKEN; else admin.token of this machine)')

export const withJson = (command: Command) => command.option('--json', 'print JSON, one value per line')

/** Examples at the end of `--help`: a command line, and what it is for. */
export function withExamples(command: Command, examples: [line: string, meaning: string][]): Command {
  const width = Math.max(...examples.map(([line]) => line.length))
  const lines = examples.map(([line, meaning]) => `  $ ${line.padEnd(width)}   # ${meaning}`)
  return command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`)
}
