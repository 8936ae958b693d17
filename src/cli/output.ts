import type { OutputChunk } from './answers.ts'
import type { Connection } from './connection.ts'
import type { CliContext } from './context.ts'
import { documents } from './documents.ts'
import { fetchRun } from './fetch-run.ts'
import { followAcrossRestarts } from './follow.ts'
import { terminalFilter } from './printable.ts'
import { isEnded } from './run-text.ts'

/** The most that one answer carries. */
const chunkBytesMax = 2 ** 20

export type OutputOptions = {
  /** Logical offset in bytes. */
  from: number
  json: boolean
  /** Hand every byte on, even to a terminal. */
  raw?: boolean
}

/** Writes the output that there is now. `false`: there is none of this run (or no such run). */
export async function printOutput(
  context: CliContext,
  server: Connection,
  id: string,
  options: OutputOptions,
): Promise<boolean> {
  const print = chunkPrinter(context, options)
  for (let offset = options.from; ; ) {
    const variables = { id, offset, maxBytes: chunkBytesMax }
    const { runOutput } = await server.request<{ runOutput: OutputChunk | null }>(documents.runOutput, variables)
    if (runOutput === null) return false
    await print(runOutput)
    if (runOutput.ended || runOutput.next === runOutput.offset) return true
    offset = runOutput.next
  }
}

/** Writes the output from `options.from` on and goes on until it ends, or until abort. */
export async function followOutput(
  context: CliContext,
  server: Connection,
  id: string,
  options: OutputOptions,
  signal: AbortSignal,
): Promise<void> {
  const print = chunkPrinter(context, options)
  let offset = options.from
  const output = {
    subscribe: (onConnected: () => void) =>
      server.subscribe<{ runOutput: OutputChunk }>(documents.followRunOutput, { id, offset }, signal, onConnected),
    isOver: async () => isEnded(await fetchRun(server, id)),
    onLost: () => context.screen.say('(the connection to the server is lost; the run goes on; trying again …)'),
  }
  for await (const { runOutput } of followAcrossRestarts(output, signal)) {
    await print(runOutput)
    offset = runOutput.next
    if (runOutput.ended) return
  }
}

function chunkPrinter(
  { screen }: CliContext,
  { from, json, raw }: OutputOptions,
): (chunk: OutputChunk) => Promise<void> {
  const forScreen = screen.isTerminal && !raw ? terminalFilter(screen.colour) : (text: string) => text
  let expected = from
  return async (chunk) => {
    if (chunk.offset > expected) screen.say(`(${chunk.offset - expected} bytes of output are gone)`)
    expected = chunk.next
    if (json) return screen.json(chunk)
    await screen.raw(forScreen(chunk.text))
    // A colour that the run left switched on would colour the prompt.
    if (chunk.ended && screen.colour && !raw) await screen.raw('\u001b[0m')
  }
}
