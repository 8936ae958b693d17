import { resolve } from 'node:path'
import type { Command } from 'commander'
import { type CliContext, withExamples, withJson } from '../context.ts'
import { usageError } from '../exit-codes.ts'
import { interruptible } from '../interrupt.ts'
import { endedEarly, moveProgress, stopSignals } from '../move-text.ts'

type Options = { rebind?: true; json?: true }

export function addImport(program: Command, context: CliContext): void {
  const command = program
    .command('import')
    .description('Bring an exported history into an empty store: that of a new data directory, or DATABASE_URL.')
    .argument('<file>', 'as `runwarden export` wrote it')
    .option('--rebind', 'let the runs of this data directory go on with it, although it may lack what they did last')
    .action((file: string, options: Options) => importFrom(context, file, options))
  withExamples(withJson(command), [
    ['RUNWARDEN_DATA_DIR=/srv/new runwarden import history.ndjson.gz', 'into a new data directory'],
    ['DATABASE_URL=postgres://… runwarden import history.ndjson.gz', 'into a database of yours'],
  ])
}

async function importFrom({ deps, screen }: CliContext, name: string, { rebind, json }: Options): Promise<void> {
  if (name === '-') {
    throw usageError('An import reads its file twice, so it cannot come from a pipe.', 'Save it to a file first.')
  }
  const file = resolve(deps.cwd, name)
  const result = await interruptible(
    (signal) => deps.composed.importHistory({ file, rebind: rebind === true, signal, progress: moveProgress(screen) }),
    stopSignals,
  )
  if (result.type !== 'imported') {
    throw endedEarly(result, 'What was imported is not served. Finish it with the same command.')
  }
  if (json) return screen.json(result)
  const what = result.wasThere ? 'It was imported before' : 'Imported, and compared with the file'
  await screen.line(`${what}: ${result.events} events, now in the event store ${result.storeId}`)
  if (result.rebound) await screen.line('The runs of this data directory go on with it: runwarden up')
}
