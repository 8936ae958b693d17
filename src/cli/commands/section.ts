import { randomUUID } from 'node:crypto'
import { appendFileSync } from 'node:fs'
import { type Command, Option } from 'commander'
import { type SectionKind, sectionKinds } from '../../domain/critical-section.ts'
import { redactCommand } from '../../domain/redact.ts'
import { type CliContext, withExamples } from '../context.ts'
import { parseDuration } from '../durations.ts'
import { usageError } from '../exit-codes.ts'
import { endAs, runInPlace } from '../run-in-place.ts'

type Options = { kind: SectionKind; expect?: number }

export function addSection(program: Command, context: CliContext): void {
  const command = program
    .command('section')
    .description('Inside of a run: run a command as a critical section, which a kill that is not forced waits for.')
    .usage('[options] -- <command> [arguments…]')
    .argument('<command...>', 'what to run: the executable, then its arguments')
    // What follows the command belongs to it, even without `--`.
    .passThroughOptions()
    .addOption(new Option('--kind <kind>', 'what it is').choices(sectionKinds).makeOptionMandatory())
    .option('--expect <duration>', 'how long it takes, for those who look; nothing is decided by it', parseDuration)
    .action((argv: string[], options: Options) => section(context, argv, options))
  withExamples(command, [
    ['runwarden section --kind git_operations -- git push', 'a kill waits until it is pushed, 30 s at most'],
    ['runwarden section --kind database_transactions --expect 4s -- ./migrate.sh', 'others see how long it takes'],
  ]).addHelpText(
    'after',
    '\nEnds the way the command ends: with its exit status, or by the signal that ended it; 127 where there is no such\n' +
      'command, 126 where it cannot be executed. Outside of a run it says so, and just runs the command.',
  )
}

async function section(context: CliContext, argv: string[], { kind, expect }: Options): Promise<void> {
  const { deps, screen, end } = context
  const [file, ...args] = argv
  if (file === undefined) throw usageError('Nothing to run: give a command after --.', 'See: runwarden section --help')
  const id = randomUUID()
  const tell = (line: object) => appendProgress(deps.env.RUNWARDEN_PROGRESS, line)
  const enter = { id, kind, pid: process.pid, detail: redactCommand(argv), expectedMs: expect }
  const problem = tell({ enter })
  // What the command does matters more than that it is protected: it runs on a developer's machine as it does in a run.
  if (problem !== undefined) screen.say(`runwarden: not protected as a critical section: ${problem}`)
  const ending = await runInPlace(file, args, deps)
  if (problem === undefined) {
    const late = tell({ exit: { id } })
    if (late !== undefined) screen.say(`runwarden: the end of the critical section could not be noted: ${late}`)
  }
  if (ending.error !== undefined) screen.say(`runwarden: ${ending.error}`)
  endAs(ending, end)
}

/** @returns what stands in the way */
function appendProgress(path: string | undefined, line: object): string | undefined {
  if (path === undefined) return 'this is no run of Runwarden (RUNWARDEN_PROGRESS is not set)'
  try {
    appendFileSync(path, `${JSON.stringify(line)}\n`)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}
