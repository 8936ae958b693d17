import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { ExportResult } from '../composed.ts'
import { type CliContext, withExamples, withJson } from '../context.ts'
import { usageError } from '../exit-codes.ts'
import { interruptible } from '../interrupt.ts'
import { endedEarly, moveProgress, stopSignals } from '../move-text.ts'
import { printable } from '../printable.ts'

type Options = { overwrite?: true; json?: true }

export function addExport(program: Command, context: CliContext): void {
  const command = program
    .command('export')
    .description('Write the whole history to a file: every event of every run, for a backup or a move.')
    .argument('[file]', 'NDJSON, zipped if its name ends in .gz; "-" or none: stdout')
    .option('--overwrite', 'replace the file if there is one')
    .action((file: string | undefined, options: Options) => exportTo(context, file, options))
  withExamples(withJson(command), [
    ['runwarden export history.ndjson.gz', 'while the server runs, or without it'],
    ['runwarden export | ssh backup "cat > history.ndjson"', 'to another machine'],
  ])
}

async function exportTo(context: CliContext, name = '-', { overwrite, json }: Options): Promise<void> {
  const { deps, screen } = context
  const file = name === '-' ? undefined : resolve(deps.cwd, name)
  if (file === undefined && screen.isTerminal) {
    throw usageError('A history does not belong on a terminal.', 'Name a file: runwarden export history.ndjson.gz')
  }
  if (file === undefined && json)
    throw usageError('With --json the result goes to stdout: name a file for the history.')
  const result = await interruptible(
    (signal) =>
      deps.composed.exportHistory({ file, overwrite: overwrite === true, signal, progress: moveProgress(screen) }),
    stopSignals,
  )
  if (result.type !== 'exported') throw endedEarly(result, 'Nothing was kept of it.')
  if (json) return screen.json(result)
  for (const line of lines(result)) {
    if (file === undefined) screen.say(line)
    else await screen.line(line)
  }
}

function lines({ file, events, bytes, sha256, isFinal }: Extract<ExportResult, { type: 'exported' }>): string[] {
  const size = bytes === null ? '' : `, ${bytes} bytes`
  return [
    `Exported ${events} events${size} to ${printable(file ?? 'stdout')}`,
    `  sha256  ${sha256} (of its lines)`,
    ...(isFinal ? ['  final   no server ran: the runs of this host can go on where it is imported'] : []),
  ]
}
