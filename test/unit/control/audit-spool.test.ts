import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createAuditSpool } from '../../../src/control/audit-spool.ts'
import type { NewEvent } from '../../../src/domain/event.ts'
import { type EventStore, StoreUnavailable } from '../../../src/event-store/event-store.ts'
import { recordingLog } from '../../support/control-world.ts'
import { newEvent } from '../../support/new-event.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

let directory: ReturnType<typeof makeTemporaryDirectory>
let path: string
beforeEach(() => {
  directory = makeTemporaryDirectory()
  path = join(directory.path, 'spool.jsonl')
})
afterEach(() => directory.remove())

/** Only what a spool asks of a store: appends, each idempotent by its event's id. */
function fakeStore() {
  const events = new Map<string, { stream: string; event: NewEvent }>()
  const script = { failAfter: Number.POSITIVE_INFINITY, error: new StoreUnavailable('away') as Error }
  const store = {
    async append(stream: string, [event]: NewEvent[]) {
      if (event === undefined || events.size >= script.failAfter) throw script.error
      if (!events.has(event.metadata.eventId)) events.set(event.metadata.eventId, { stream, event })
    },
  } as unknown as EventStore
  return { store, script, recorded: () => [...events.values()].map(({ event }) => event.data) }
}

const opened = () => {
  const { log, lines } = recordingLog()
  return { spool: createAuditSpool(path, log), lines }
}

it('[R20] keeps what it is given in order, private, until it is in the store, once', async () => {
  const { spool } = opened()
  await Promise.all([1, 2, 3].map((n) => spool.add('audit-none', newEvent(n))))
  expect(statSync(path).mode & 0o777).toBe(0o600)
  const { store, script, recorded } = fakeStore()
  script.failAfter = 2
  await expect(spool.flush(store)).rejects.toThrow(StoreUnavailable)
  await spool.add('audit-none', newEvent(4))
  script.failAfter = Number.POSITIVE_INFINITY
  await spool.flush(store)
  expect(recorded()).toEqual([1, 2, 3, 4])
  expect(existsSync(path)).toBe(false)
  await spool.flush(store)
  expect(recorded()).toHaveLength(4)
})

it('[R14] goes on in a new process with what an old one left', async () => {
  await opened().spool.add('audit-none', newEvent(1))
  const { spool } = opened()
  await spool.add('audit-none', newEvent(2))
  const { store, recorded } = fakeStore()
  await spool.flush(store)
  expect(recorded()).toEqual([1, 2])
})

it('[R20] a line that a crash tore costs itself at most, never the one after it', async () => {
  const before = opened()
  await before.spool.add('audit-none', newEvent('kept'))
  await before.spool.add('audit-none', newEvent('torn'))
  truncateSync(path, statSync(path).size - 20)
  const { spool, lines } = opened()
  await spool.add('audit-none', newEvent('after'))
  const { store, recorded } = fakeStore()
  await spool.flush(store)
  expect(recorded()).toEqual(['kept', 'after'])
  expect(lines).toEqual(['warn: a line of the audit spool is torn'])
})

it('[R20] a line that was lost to a crash but for its newline is whole', async () => {
  await opened().spool.add('audit-none', newEvent('whole'))
  truncateSync(path, statSync(path).size - 1)
  const { spool } = opened()
  await spool.add('audit-none', newEvent('after'))
  const { store, recorded } = fakeStore()
  await spool.flush(store)
  expect(recorded()).toEqual(['whole', 'after'])
})

it('[R20] what is added while a store hangs does not wait for it, and is flushed the next time, in order', async () => {
  const { spool } = opened()
  await spool.add('audit-none', newEvent(1))
  const { store, recorded } = fakeStore()
  const hangs = Promise.withResolvers<void>()
  const asked = Promise.withResolvers<void>()
  const append: EventStore['append'] = async (...args) => {
    asked.resolve()
    await hangs.promise
    return store.append(...args)
  }
  const flushing = spool.flush({ ...store, append })
  const flushingToo = spool.flush({ ...store, append })
  await asked.promise
  await spool.add('audit-none', newEvent(2))
  expect(recorded()).toEqual([])
  hangs.resolve()
  await Promise.all([flushing, flushingToo])
  expect(recorded()).toEqual([1, 2])
  expect(existsSync(path)).toBe(false)
})

it('[R20] what the disk refuses is kept in memory, and flushed with the rest', async () => {
  mkdirSync(path)
  const { spool, lines } = opened()
  await spool.add('audit-none', newEvent('no disk'))
  expect(lines).toEqual(['error: an attempt could be recorded neither in the store nor on disk'])
  rmdirSync(path)
  await spool.add('audit-none', newEvent('a disk'))
  const { store, script, recorded } = fakeStore()
  script.failAfter = 1
  await expect(spool.flush(store)).rejects.toThrow(StoreUnavailable)
  script.failAfter = Number.POSITIVE_INFINITY
  await spool.flush(store)
  expect(recorded().sort()).toEqual(['a disk', 'no disk'])
})

it('blocks that a crash left full of zeros, and rubbish, are passed over', async () => {
  writeFileSync(path, `${'\0'.repeat(4096)}\nnull\n{"stream":"audit-none"}\n17\n`)
  const { spool, lines } = opened()
  await spool.add('audit-none', newEvent('after'))
  const { store, recorded } = fakeStore()
  await spool.flush(store)
  expect(recorded()).toEqual(['after'])
  expect(lines).toHaveLength(4)
})

it('[R20] a full spool, or a disk that refuses, loses no word: the attempt is in the log', async () => {
  const { spool, lines } = opened()
  appendFileSync(path, `${JSON.stringify({ stream: 'audit-none', event: newEvent('x'.repeat(17 * 2 ** 20)) })}\n`)
  const size = statSync(path).size
  await spool.add('audit-none', newEvent(1))
  expect(statSync(path).size).toBe(size)
  expect(lines).toEqual(['error: an attempt could be recorded neither in the store nor on disk'])

  const { log, lines: more } = recordingLog()
  mkdirSync(join(directory.path, 'is-a-directory'))
  await createAuditSpool(join(directory.path, 'is-a-directory'), log).add('audit-none', newEvent(1))
  expect(more).toHaveLength(1)
  expect(readFileSync(path).length).toBe(size)
})
