import { Command, CommanderError } from 'commander'
import { addAlerts } from './commands/alerts.ts'
import { addAudit } from './commands/audit.ts'
import { addCanary } from './commands/canary.ts'
import { addComplete } from './commands/complete.ts'
import { addDoctor } from './commands/doctor.ts'
import { addDown } from './commands/down.ts'
import { addEvents } from './commands/events.ts'
import { addExport } from './commands/export.ts'
import { addHosts } from './commands/hosts.ts'
import { addImport } from './commands/import.ts'
import { addKill } from './commands/kill.ts'
import { addLogs } from './commands/logs.ts'
import { addLs } from './commands/ls.ts'
import { addPause, addResume } from './commands/pause.ts'
import { addProjections } from './commands/projections.ts'
import { addRegister } from './commands/register.ts'
import { addRestart } from './commands/restart.ts'
import { addRun } from './commands/run.ts'
import { addSection } from './commands/section.ts'
import { addShow } from './commands/show.ts'
import { addStore } from './commands/store.ts'
import { addTimeline } from './commands/timeline.ts'
import { addUp } from './commands/up.ts'
import { addWatch } from './commands/watch.ts'
import { addWorkflow } from './commands/workflow.ts'
import { createContext } from './context.ts'
import type { CliDeps } from './deps.ts'
import { CliError, exitCodes } from './exit-codes.ts'
import { printableLines } from './printable.ts'
import { watchOutput } from './screen.ts'

/**
 * The whole command line. Parsing runs the command and rejects with a CliError, or with a CommanderError for a command
 * line that cannot be understood; runCli turns both into messages and exit codes.
 * @param end told how a command ends that did its work and yet does not end with `ok`
 */
export function createCli(deps: CliDeps, end: (code: number) => void = () => {}): Command {
  const context = createContext(deps, end)
  const program = new Command('runwarden')
    .description('The control plane that can prove an agent run is dead, and say why it had to die.')
    .version(deps.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .configureOutput({
      writeOut: (text) => void deps.stdout.write(text),
      writeErr: (text) => void deps.stderr.write(text),
      getOutHelpWidth: () => deps.stdout.columns ?? 100,
      getErrHelpWidth: () => deps.stderr.columns ?? 100,
    })
    // Before the commands are added: they take these over.
    .exitOverride()
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .showHelpAfterError('(--help says what there is)')

  for (const add of commands) add(program, context)
  return program.addHelpText('after', closingHelp)
}

/** In the order of `--help`. */
const commands = [
  addUp,
  addDown,
  addRun,
  addLs,
  addWatch,
  addShow,
  addTimeline,
  addKill,
  addPause,
  addResume,
  addRestart,
  addComplete,
  addLogs,
  addEvents,
  addRegister,
  addSection,
  addAlerts,
  addWorkflow,
  addAudit,
  addHosts,
  addCanary,
  addProjections,
  addStore,
  addExport,
  addImport,
  addDoctor,
]

const closingHelp = `
The first kill:
  $ runwarden up &
  $ runwarden run -- sleep 600
  $ runwarden kill run_0123456789ab

Exit status: 0 ok, 1 failure, 2 usage, 3 not found, 4 no access, 5 conflict, 6 unavailable, 124 timeout, 130 interrupted.
Data goes to stdout, everything else to stderr. NO_COLOR is respected.`

/** Runs one command line (without the interpreter and the script) to its end. */
export async function runCli(argv: readonly string[], deps: CliDeps): Promise<number> {
  // `up` goes on serving when nobody reads its log any more.
  let unwritten: Error | undefined
  if (argv[0] !== 'up' || argv.length > 1) {
    const onFailure = (error: Error) => {
      unwritten ??= error
    }
    // An export may have started a PostgreSQL.
    watchOutput(deps.stdout, onFailure, argv[0] === 'export')
  }
  let code: number = exitCodes.ok
  try {
    await createCli(deps, (ending) => {
      code = ending
    }).parseAsync(argv, { from: 'user' })
    if (unwritten === undefined) return code
    throw new CliError(code || exitCodes.failure, `The output could not be written: ${unwritten.message}`)
  } catch (error) {
    // Commander has written its message already; help and version come this way too.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
    if (!(error instanceof CliError)) throw error
    complain(deps, error)
    return error.exitCode
  }
}

function complain({ stderr }: CliDeps, { message, wayOut }: CliError): void {
  const lines = printableLines(`runwarden: ${message}`).concat(wayOut === undefined ? [] : printableLines(wayOut))
  stderr.write(`${lines.join('\n')}\n`)
}
