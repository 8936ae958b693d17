import { existsSync } from 'node:fs'
import type { HostLink, OutputChunk } from '../domain/host-link.ts'
import type { RunId } from '../domain/ids.ts'
import { Bell } from './bell.ts'
import { Output } from './output.ts'
import type { Run } from './run.ts'
import type { RunContext } from './run-context.ts'
import { runPaths } from './run-directory.ts'

const outputPollMs = 100
const readOutputBytesMax = 1024 * 1024

/** The output of all runs of a host, finished ones too. @param runOf the run, while it is not finished */
export function readOutputs(
  { hostDirectory, outputCapBytes, signal }: RunContext,
  runOf: (runId: RunId) => Run | undefined,
): Pick<HostLink, 'readOutput' | 'outputGrown'> {
  async function readOutput(runId: RunId, offset: number, maxBytes: number): Promise<OutputChunk | undefined> {
    const found = await outputOf(runId)
    if (found === undefined) return undefined
    const { output, isOver } = found
    const chunk = output.read(Math.max(0, offset), Math.min(maxBytes, readOutputBytesMax))
    return { ...chunk, ended: isOver && chunk.next >= output.end() }
  }

  /** `isOver` is asked before the output is read: nothing is written after it. */
  async function outputOf(runId: RunId): Promise<{ output: Output; isOver: boolean } | undefined> {
    const run = runOf(runId)
    const { isOver = true } = run ?? {}
    const paths = runPaths(hostDirectory, runId)
    if (run === undefined && !existsSync(paths.finished)) return undefined
    const output = run?.output ?? (await Output.open(paths, outputCapBytes))
    return output.look() !== undefined ? { output, isOver } : undefined
  }

  async function outputGrown(runId: RunId, offset: number, waiting: AbortSignal): Promise<void> {
    const until = AbortSignal.any([waiting, signal])
    const bell = new Bell()
    while (!until.aborted) {
      const run = runOf(runId)
      if (run === undefined || run.isOver || run.output.end() > offset) return
      await bell.wait(outputPollMs, until)
    }
  }

  return { readOutput, outputGrown }
}
