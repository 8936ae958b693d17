import type { HostLink } from '../domain/host-link.ts'
import { runIdSchema } from '../domain/ids.ts'
import { isTerminal, type RunState } from '../domain/run-state.ts'
import type { OutputText } from './control.ts'
import type { RunFeed } from './run-feed.ts'

/** One answer holds at most this; a terminal is not faster, and a server's memory is bounded. */
export const outputBytesMax = 1024 * 1024
const followBytes = 64 * 1024

/** See {@link import('./control.ts').Control.runOutput}. */
export async function readRunOutput(
  host: HostLink,
  id: string,
  offset: number,
  maxBytes: number,
): Promise<OutputText | undefined> {
  const runId = runIdSchema.safeParse(id)
  if (!runId.success) return undefined
  const chunk = await host.readOutput(
    runId.data,
    Math.max(0, Math.floor(offset)),
    Math.min(outputBytesMax, Math.max(1, Math.floor(maxBytes))),
  )
  if (chunk === undefined) return undefined
  const whole = chunk.ended ? chunk.data.length : wholeCharacters(chunk.data)
  return {
    offset: chunk.offset,
    next: chunk.next - (chunk.data.length - whole),
    text: new TextDecoder().decode(chunk.data.subarray(0, whole)),
    ended: chunk.ended,
  }
}

/**
 * Output from the offset on, then live; ends with the run's output, or on abort. A run that waits for its slot is
 * waited for.
 */
export async function* followRunOutput(
  host: HostLink,
  feed: RunFeed,
  id: string,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<OutputText> {
  const runId = runIdSchema.safeParse(id)
  if (!runId.success) return
  const hasBegun = (run: RunState) => run.startedAt !== null || isTerminal(run.status)
  if ((await feed.wait(runId.data, hasBegun, signal)) === undefined) return
  for (let offset = from; !signal.aborted; ) {
    const read = await readRunOutput(host, id, offset, followBytes)
    if (read === undefined) return
    if (read.text !== '' || read.ended) yield read
    if (read.ended) return
    const stood = read.next === offset
    offset = read.next
    if (stood) await host.outputGrown(runId.data, offset, signal)
  }
}

/**
 * How many of the bytes are whole UTF-8 characters: a character that is cut at the end is left for the next read, so
 * that no reader sees half of one. Bytes that are no UTF-8 at all are not waited for.
 */
export function wholeCharacters(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length - 1); back++) {
    const byte = bytes[bytes.length - back] ?? 0
    if (byte < 0x80) return bytes.length
    if (byte >= 0xc0) return back < sequenceLength(byte) ? bytes.length - back : bytes.length
  }
  return bytes.length
}

const sequenceLength = (lead: number) => (lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2)
