import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { OutputText } from '../../../src/control/control.ts'
import type { RunFeed } from '../../../src/control/run-feed.ts'
import { followRunOutput, readRunOutput } from '../../../src/control/run-output.ts'
import { collect } from '../../support/collect.ts'
import { liveRun } from '../../support/fake-control.ts'
import { runId } from '../../support/run-events.ts'
import { scriptedHost } from '../../support/scripted-host.ts'
import { waitUntil } from '../../support/wait-until.ts'

/** A run that has begun. */
const begun: RunFeed = { follow: async () => {}, wait: async () => ({ state: liveRun, position: 1 }) }

const whole = (bytes: Uint8Array) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)

/** Bytes as programs write them, cut anywhere: text with characters of every length, a BOM in the middle, rubbish. */
const anyBytes = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary' }).map((text) => Buffer.from(text)),
      fc.constantFrom('é', '€', '😀', '\uFEFF', 'plain').map((text) => Buffer.from(text)),
      fc.uint8Array({ maxLength: 6 }).map((bytes) => Buffer.from(bytes)),
    ),
    { maxLength: 12 },
  )
  .map((parts) => Buffer.concat(parts))

async function readAll(host: ReturnType<typeof scriptedHost>, maxBytes: number): Promise<OutputText[]> {
  const reads: OutputText[] = []
  for (let offset = 0; ; ) {
    const read = await readRunOutput(host.link, runId, offset, maxBytes)
    if (read === undefined) throw new Error('no output')
    reads.push(read)
    if (read.ended) return reads
    if (read.next <= offset) throw new Error(`does not get past ${offset}`)
    offset = read.next
  }
}

it('a reader that goes on where it was left has the whole text, wherever the bytes are cut', async () => {
  await fc.assert(
    fc.asyncProperty(anyBytes, fc.integer({ min: 1, max: 9 }), async (bytes, maxBytes) => {
      const host = scriptedHost()
      host.write(runId, bytes, true)
      const reads = await readAll(host, maxBytes)
      expect(reads.map(({ text }) => text).join('')).toBe(whole(bytes))
      expect(reads.at(-1)?.next).toBe(bytes.length)
    }),
    { numRuns: 300 },
  )
})

it('a follower has the whole text, wherever the program stopped between two writes', async () => {
  const bytes = Buffer.from('a é € 😀 \uFEFF z')
  for (let cut = 1; cut < bytes.length; cut += 1) {
    const host = scriptedHost()
    host.write(runId, bytes.subarray(0, cut))
    const texts: string[] = []
    const following = (async () => {
      for await (const { text } of followRunOutput(host.link, begun, runId, 0, AbortSignal.timeout(5_000)))
        texts.push(text)
    })()
    // Until it waits for more.
    await new Promise(setImmediate)
    host.write(runId, bytes.subarray(cut), true)
    await following
    expect(texts.join('')).toBe(bytes.toString())
  }
})

it('half a character at the end is waited for, not asked for again and again', async () => {
  const host = scriptedHost()
  host.write(runId, Buffer.from([0x61, 0xe2, 0x82]))
  const controller = new AbortController()
  const texts: string[] = []
  const following = (async () => {
    for await (const { text } of followRunOutput(host.link, begun, runId, 0, controller.signal)) texts.push(text)
  })()
  await waitUntil(() => texts.length === 1, 'the first character')
  for (let turn = 0; turn < 50; turn += 1) await new Promise(setImmediate)
  expect(host.script.reads).toBeLessThan(5)
  host.write(runId, Buffer.from([0xac]))
  await waitUntil(() => texts.length === 2, 'the second character')
  expect(texts).toEqual(['a', '€'])
  controller.abort()
  await following
})

it('half a character at the very end of the output is shown as what it is', async () => {
  const host = scriptedHost()
  host.write(runId, Buffer.from([0x61, 0xe2, 0x82]), true)
  const reads = await collect(followRunOutput(host.link, begun, runId, 0, AbortSignal.timeout(5_000)))
  expect(reads.map(({ text }) => text).join('')).toBe('a\uFFFD')
})

it('a character that the host keeps in two files (output was moved away in the middle of it) is one character', async () => {
  const bytes = Buffer.from('a€😀z')
  for (let edge = 1; edge < bytes.length; edge += 1) {
    const host = scriptedHost()
    host.write(runId, bytes, true)
    const { readOutput } = host.link
    host.link.readOutput = async (id, offset, maxBytes) => {
      const chunk = await readOutput(id, offset, offset < edge ? Math.min(maxBytes, edge - offset) : maxBytes)
      return chunk && { ...chunk, ended: chunk.next === bytes.length }
    }
    const reads = await collect(followRunOutput(host.link, begun, runId, 0, AbortSignal.timeout(5_000)))
    expect(reads.map(({ text }) => text).join('')).toBe('a€😀z')
  }
})

it('an offset beyond the end says where the end is; a negative one begins at the beginning', async () => {
  const host = scriptedHost()
  host.write(runId, Buffer.from('text'))
  expect(await readRunOutput(host.link, runId, 99, 100)).toEqual({ offset: 4, next: 4, text: '', ended: false })
  expect(await readRunOutput(host.link, runId, -3, 100)).toEqual({ offset: 0, next: 4, text: 'text', ended: false })
  expect(await readRunOutput(host.link, 'run_ffffffffffff', 0, 100)).toBeUndefined()
  expect(await readRunOutput(host.link, '../../etc/passwd', 0, 100)).toBeUndefined()
})
