import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { allProjections } from '../../../projections/all.ts'
import { type RunId, runStream, telemetryStream } from '../../../src/domain/ids.ts'
import { type EventStore, StoreUnavailable } from '../../../src/event-store/event-store.ts'
import { ImportDiffers, StoreNotEmpty, unfinishedImport } from '../../../src/event-store/history-import.ts'
import { DamagedHistory } from '../../../src/event-store/history-lines.ts'
import { createKurrentEventStore } from '../../../src/event-store/kurrentdb.ts'
import { collect } from '../../support/collect.ts'
import { bring, check, contentOf, writeTo } from '../../support/history-world.ts'
import { startFakeKurrentDb } from '../../support/kurrentdb/fake-server.ts'
import { newEvent } from '../../support/new-event.ts'
import { startProgram } from '../../support/program.ts'
import { caughtUp, dump, newRunId, openWorld, requestedAs, type World } from '../../support/projection-world.ts'
import { historyOf } from '../../support/random-history.ts'
import { event, started } from '../../support/run-events.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

const directory = makeTemporaryDirectory()
afterAll(() => directory.remove())
const path = (name: string) => join(directory.path, name)

let worlds: World[] = []
async function world(): Promise<World> {
  const opened = await openWorld()
  worlds.push(opened)
  return opened
}
async function closeAll(): Promise<void> {
  const open = worlds
  worlds = []
  await Promise.all(open.map((opened) => opened.close()))
}
afterEach(closeAll)

const heartbeat = (outputBytes: number) => event('HeartbeatRecorded', { outputBytes })

// Two databases each, and all of their read models, on a machine that may be busy.
describe('a history that moves to another store', { timeout: 120_000 }, () => {
  it('[R41] is the same there: streams, revisions, ids, data, metadata and order; and so are all rows', async () => {
    const ids: RunId[] = Array.from({ length: 4 }, newRunId)
    await fc.assert(
      fc.asyncProperty(fc.tuple(...ids.map(historyOf)), fc.boolean(), async (histories, isZipped) => {
        const [from, to] = [await world(), await world()]
        await Promise.all(
          histories.map((history, n) =>
            from.append(
              ids[n] as RunId,
              ...JSON.parse(JSON.stringify(history).replaceAll('run_0123456789ab', ids[n] as RunId)),
            ),
          ),
        )
        await from.appendTo('workflow-odd', [
          newEvent({ text: '\u0000 \ud800 "\\ \u2028 😀', __proto__: 1, 7: [null] }),
        ])
        const projector = from.project()
        await caughtUp(from, projector)
        const file = path(isZipped ? 'property.ndjson.gz' : 'property.ndjson')
        await writeTo(file, from.store)
        expect(await bring(file, to.store)).toBe('empty')
        expect(await contentOf(to.store)).toEqual(await contentOf(from.store))
        await caughtUp(to, to.project())
        expect(await dump(to.pool)).toEqual(await dump(from.pool))
        await closeAll()
      }),
      { numRuns: 2 },
    )
  })

  it('[R41] comes back byte for byte when it is exported again, but for where it stands', async () => {
    const [from, to] = [await world(), await world()]
    const runId = newRunId()
    await from.append(runId, requestedAs(runId), started(), heartbeat(1))
    await writeTo(path('first'), from.store)
    await bring(path('first'), to.store)
    await writeTo(path('second'), to.store)
    const events = (name: string) =>
      readFileSync(path(name), 'utf8')
        .split('\n')
        .slice(1, -2)
        .map((line) => line.replace(/^.*?"stream"/, '').replace(/"recordedAt":"[^"]*"/, ''))
    expect(events('second')).toEqual(events('first'))
  })

  it('[R41] begins at 0 again in a stream whose first events retention has removed', async () => {
    const [from, to] = [await world(), await world()]
    const runId = newRunId()
    await from.append(runId, requestedAs(runId), started(), ...[1, 2, 3, 4, 5].map(heartbeat))
    await from.store.setRetention(telemetryStream(runId), { maxCount: 2 })
    await from.store.retire()
    await from.append(runId, event('TelemetrySummarised', { outputBytes: 5 }), heartbeat(6))
    const kept = await contentOf(from.store)
    await writeTo(path('retired'), from.store)
    await bring(path('retired'), to.store, { telemetryRetention: { maxCount: 1 } })
    const content = await contentOf(to.store)
    const telemetry = (events: typeof kept) => events.filter(({ stream }) => stream === telemetryStream(runId))
    expect(telemetry(kept).map(({ revision }) => revision)).toEqual([3, 4, 5])
    expect(telemetry(content).map(({ revision }) => revision)).toEqual([0, 1, 2])
    expect(content.map(({ revision: _, ...rest }) => rest)).toEqual(kept.map(({ revision: _, ...rest }) => rest))
    // Its heartbeats are under retention here, too.
    expect(await to.store.retire()).toBe(2)
  })

  it('[R41] is whole also where retention removed events while it was exported', async () => {
    const [from, to] = [await world(), await world()]
    const runId = newRunId()
    await from.append(runId, requestedAs(runId), started(), ...[1, 2, 3, 4, 5].map(heartbeat))
    const retiring: EventStore = {
      ...from.store,
      async *readAll(after, options) {
        for await (const event of from.store.readAll(after, options)) {
          if (event.stream !== telemetryStream(runId) || ![1, 2].includes(event.revision)) yield event
        }
      },
    }
    await writeTo(path('retiring'), retiring)
    await bring(path('retiring'), to.store)
    const revisions = await collect(to.store.readStream(telemetryStream(runId)))
    expect(revisions.map(({ revision }) => revision)).toEqual([0, 1, 2])
    expect(await unfinishedImport(to.store)).toBeUndefined()
  })

  it('[R41] goes from PostgreSQL to KurrentDB and back, and the rows are those of before', async () => {
    const [from, back, there] = [await world(), await world(), await world()]
    const kurrentdb = await startFakeKurrentDb()
    const between = createKurrentEventStore(kurrentdb.connectionString())
    try {
      const ids = [newRunId(), newRunId()]
      const random = fc.sample(fc.tuple(...ids.map(historyOf)), 1).flat()
      await Promise.all(random.map((history, n) => from.append(ids[n] as RunId, ...history)))
      await from.appendTo('workflow-odd', [newEvent({ text: '\u2028 "\\ 😀', nested: { list: [1, null, 1.5e300] } })])
      await caughtUp(from, from.project())
      await writeTo(path('there.gz'), from.store)
      const cutOff: EventStore = {
        ...between,
        async appendAll(appends) {
          await between.appendAll(appends.slice(0, appends.length / 2))
          throw new StoreUnavailable('cut off')
        },
      }
      await expect(bring(path('there.gz'), cutOff)).rejects.toThrow(StoreUnavailable)
      expect(await unfinishedImport(between)).toContain('unfinished import')
      expect(await bring(path('there.gz'), between)).toBe('begun')
      expect(await unfinishedImport(between)).toBeUndefined()
      expect(await contentOf(between)).toEqual(await contentOf(from.store))
      await caughtUp({ store: between }, there.project(allProjections, between))
      expect(await dump(there.pool)).toEqual(await dump(from.pool))
      await writeTo(path('back.gz'), between)
      expect(await bring(path('back.gz'), back.store)).toBe('empty')
      expect(await contentOf(back.store)).toEqual(await contentOf(from.store))
      await caughtUp(back, back.project())
      expect(await dump(back.pool)).toEqual(await dump(from.pool))
    } finally {
      await between.close()
      await kurrentdb.stop()
    }
  })

  it('[R41] is done once: the same file again changes nothing', async () => {
    const [from, to] = [await world(), await world()]
    const runId = newRunId()
    await from.append(runId, requestedAs(runId), started())
    await writeTo(path('once'), from.store)
    await bring(path('once'), to.store)
    const head = await to.store.head()
    expect(await bring(path('once'), to.store)).toBe('completed')
    expect(await to.store.head()).toBe(head)
    expect(await unfinishedImport(to.store)).toBeUndefined()
  })

  it('[R41] goes into no store that has anything else', async () => {
    const [from, to] = [await world(), await world()]
    const runId = newRunId()
    await from.append(runId, requestedAs(runId), started())
    await writeTo(path('one'), from.store)
    await from.append(runId, heartbeat(1))
    await writeTo(path('other'), from.store)
    await expect(bring(path('one'), from.store)).rejects.toThrow(StoreNotEmpty)
    await bring(path('one'), to.store)
    const before = await contentOf(to.store)
    await expect(bring(path('other'), to.store)).rejects.toThrow(StoreNotEmpty)
    expect(await contentOf(to.store)).toEqual(before)
  })

  it.each(['between', 'at the end'])('[R41] is not completed where somebody else writes %s', async (where) => {
    const [from, to] = [await world(), await world()]
    for (let n = 0; n < 5; n += 1) await from.appendTo(`run-${n}`, [newEvent({ n })])
    await writeTo(path('disturbed'), from.store)
    let disturbed = false
    const disturbing = {
      ...to.store,
      appendAll: async (appends: Parameters<typeof to.store.appendAll>[0]) => {
        if (!disturbed && where === 'between') await to.store.append('audit-none', [newEvent()], 'any')
        const results = await to.store.appendAll(appends)
        if (!disturbed && where !== 'between') await to.store.append('audit-none', [newEvent()], 'any')
        disturbed = true
        return results
      },
    }
    await expect(bring(path('disturbed'), disturbing)).rejects.toThrow(ImportDiffers)
    expect(await unfinishedImport(to.store)).toContain('unfinished import of 5 events')
  })

  it('[R41] is refused to whoever serves until it is whole, and is brought to its end after a kill -9', async () => {
    const [from, to] = [await world(), await world()]
    const streams = Array.from({ length: 50 }, (_, n) => `run-${n}`)
    const appends = Array.from({ length: 2_500 }, (_, n) => ({
      ...{
        stream: streams[n % 50] as string,
        events: [newEvent({ n, text: 'x'.repeat(100) })],
        expected: 'any' as const,
      },
    }))
    await from.store.appendAll(appends)
    const file = path('killed.ndjson')
    await writeTo(file, from.store)
    const program = startProgram('import-history.ts', [
      JSON.stringify({ engine: 'postgres', connection: to.database.connection }),
      file,
    ])
    expect(await program.next()).toMatchObject({ phase: 'import' })
    await program.end('SIGKILL')
    expect(await unfinishedImport(to.store)).toContain('unfinished import of 2500 events')
    const there = (await contentOf(to.store)).length
    expect([there > 0, there < 2_500]).toEqual([true, true])
    expect(await bring(file, to.store)).toBe('begun')
    expect(await unfinishedImport(to.store)).toBeUndefined()
    expect(await contentOf(to.store)).toEqual(await contentOf(from.store))
  })

  it.each(['import', 'compare'])('[R41] stays unfinished when it is interrupted at the step %s', async (step) => {
    const [from, to] = [await world(), await world()]
    for (let n = 0; n < 5; n += 1) await from.appendTo(`run-${n}`, [newEvent({ n })])
    await writeTo(path('interrupted'), from.store)
    const stop = new AbortController()
    const progress = (phase: string) => phase === step && stop.abort()
    await expect(bring(path('interrupted'), to.store, { signal: stop.signal, progress })).rejects.toThrow(/abort/i)
    expect(await unfinishedImport(to.store)).toContain('unfinished import of 5 events')
    expect(await bring(path('interrupted'), to.store)).toBe('begun')
    expect(await contentOf(to.store)).toEqual(await contentOf(from.store))
  })
})

describe('a file that is not as it was written', () => {
  let whole: Buffer
  beforeAll(async () => {
    const from = await openWorld()
    try {
      const runId = newRunId()
      await from.append(runId, requestedAs(runId), started(), heartbeat(1), heartbeat(2))
      await writeTo(path('whole'), from.store)
      whole = readFileSync(path('whole'))
      expect((await collect(from.store.readStream(runStream(runId)))).length).toBe(2)
    } finally {
      await from.close()
    }
  })

  const damaged = async (bytes: Buffer) => {
    writeFileSync(path('damaged'), bytes)
    await expect(check(path('damaged'))).rejects.toThrow(DamagedHistory)
  }

  it('[R41] is told from one that is', async () => {
    expect(await check(path('whole'))).toMatchObject({ events: 4, by: 'test' })
    writeFileSync(path('zipped'), gzipSync(whole))
    expect(await check(path('zipped'))).toEqual(await check(path('whole')))
  })

  it('[R41] is refused wherever it is cut off', async () => {
    await fc.assert(fc.asyncProperty(fc.nat({ max: whole.length - 1 }), (length) => damaged(whole.subarray(0, length))))
    const zipped = gzipSync(whole)
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: zipped.length - 1 }), (length) => damaged(zipped.subarray(0, length))),
    )
  })

  it('[R41] is refused whichever bit has changed', async () => {
    const flipped = (bytes: Buffer, at: number, bit: number) => {
      const copy = Buffer.from(bytes)
      copy[at] = (copy[at] ?? 0) ^ (1 << bit)
      return copy
    }
    const bit = fc.nat({ max: 7 })
    // But for the number of events in the last line's own text, which is compared, every byte is under a hash.
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: whole.length - 2 }), bit, (at, bit) => damaged(flipped(whole, at, bit))),
    )
  })

  it.each<[string, (lines: string[]) => string[]]>([
    ['a line is gone', (lines) => lines.toSpliced(2, 1)],
    ['a line is there twice', (lines) => lines.toSpliced(2, 0, lines[2] as string)],
    ['lines have changed places', ([a, b, c, ...rest]) => [a, c, b, ...rest] as string[]],
    ['something follows the end', (lines) => lines.toSpliced(-1, 0, lines[1] as string, '')],
    ['it has no head', (lines) => lines.slice(1)],
    ['it is another format', ([head = '', ...rest]) => [head.replace('"version":1', '"version":2'), ...rest]],
    ['it is two of them', (lines) => [...lines.slice(0, -1), ...lines]],
  ])('[R41] is refused where %s', (_, change) => damaged(Buffer.from(change(whole.toString().split('\n')).join('\n'))))

  it.each(['', '\n', 'null\n', '[]\n', '{}\n', '{"end":{}}\n'])('[R41] is refused when it holds %j', (text) =>
    damaged(Buffer.from(text)),
  )
})
