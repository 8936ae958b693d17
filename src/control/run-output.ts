import type { HostLink } from '../domain/host-link.ts'
import { type RunId, runIdSchema } from '../domain/ids.ts'
import { isTerminal, type RunState } from '../domain/run-state.ts'
import type { OutputText } from './control.ts'
import type { RunFeed } from './run-feed.ts'

/** One answer holds at most this; a terminal is not faster, and a server's memory is bounded. */
export const outputBytesMax = 1024 * 1024
const followBytes = 64 * 1024
/** Of UTF-8. */
const characterBytesMax = 4

/** See {@link import('./control.ts').Control.runOutput}. */
export async function readRunOutput(
  host: HostLink,
  id: string,
  offset: number,
  maxBytes: number,
): Promise<OutputText | undefined> {
  const runId = runIdSchema.safeParse(id)
  return runId.success ? (await read(host, runId.data, offset, maxBytes))?.output : undefined
}

/** `seen`: where the bytes end; half a character may stand between `output.next` and there. */
type Read = { output: OutputText; seen: number }

async function read(host: HostLink, runId: RunId, offset: number, maxBytes: number): Promise<Read | undefined> {
  const from = Math.max(0, Math.floor(offset))
  const size = Math.min(outputBytesMax, Math.max(1, Math.floor(maxBytes)))
  const chunk = await readCharacters(host, runId, from, size)
  if (chunk === undefined) return undefined
  const whole = chunk.ended ? chunk.data.length : wholeCharacters(chunk.data)
  const output = {
    offset: chunk.offset,
    next: chunk.next - (chunk.data.length - whole),
    // A byte order mark in the middle of the output is a character like any other.
    text: new TextDecoder('utf-8', { ignoreBOM: true }).decode(chunk.data.subarray(0, whole)),
    ended: chunk.ended,
  }
  return { output, seen: chunk.next }
}

/**
 * At least one whole character, where there is one: the bytes that were read may be only the beginning of it, because
 * no more were asked for, or because the host's file ends there and goes on in the next one.
 */
async function readCharacters(host: HostLink, runId: RunId, offset: number, size: number) {
  const chunk = await host.readOutput(runId, offset, size)
  if (chunk === undefined || chunk.ended || chunk.data.length === 0) return chunk
  if (wholeCharacters(chunk.data) > 0) return chunk
  const rest = await host.readOutput(runId, chunk.next, characterBytesMax - chunk.data.length)
  if (rest?.offset !== chunk.next) return chunk
  return { ...rest, offset: chunk.offset, data: Buffer.concat([chunk.data, rest.data]) }
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
    const found = await read(host, runId.data, offset, followBytes)
    if (found === undefined) return
    const { output, seen } = found
    if (output.text !== '' || output.ended) yield output
    if (output.ended) return
    const stood = output.next === offset
    offset = output.next
    if (stood) await host.outputGrown(runId.data, seen, signal)
  }
}

/**
 * How many of the bytes are whole UTF-8 characters: one that is cut at the end is left for the next read, so that no
 * reader sees half of it. Bytes that are no UTF-8 at all are not waited for.
 */
function wholeCharacters(bytes: Uint8Array): number {
  for (let back = 1; back < characterBytesMax && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back] ?? 0
    if (byte < 0x80) return bytes.length
    if (byte >= 0xc0) return back < sequenceLength(byte) ? bytes.length - back : bytes.length
  }
  return bytes.length
}

const sequenceLength = (lead: number) => (lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2)
