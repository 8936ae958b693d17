import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { Journal } from '../../../src/host/journal.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

let temporary: ReturnType<typeof makeTemporaryDirectory>
let path: string
beforeEach(() => {
  temporary = makeTemporaryDirectory()
  path = join(temporary.path, 'journal.jsonl')
})
afterEach(() => temporary.remove())

it('[R14] keeps lines in order, with room to spare for a full disk, which it gives back in the end', async () => {
  const { journal } = await Journal.open<{ n: number }>(path)
  await Promise.all([1, 2, 3].map((n) => journal.append([{ n }], n === 3)))
  expect(statSync(path).size).toBeGreaterThan(32 * 1024)
  await journal.seal()
  await journal.close()
  expect(readFileSync(path, 'utf8')).toBe('{"n":1}\n{"n":2}\n{"n":3}\n')
})

it('[R14] what is forced to the disk with the next is written in its place, and is vital like the rest', async () => {
  const { journal } = await Journal.open<{ n: number }>(path)
  expect(await journal.append([{ n: 1 }], true, 'with the next')).toBe(true)
  await journal.append([{ n: 2 }], true)
  await journal.close()
  const { journal: again, lines } = await Journal.open<{ n: number }>(path)
  expect(lines).toEqual([{ n: 1 }, { n: 2 }])
  await again.close()
})

it('[R14] a torn last line is as if it had never been, and the next line is whole', async () => {
  writeFileSync(path, '{"n":1}\n{"n":2,"text":"a long line that was cut o')
  const torn = await Journal.open<{ n: number }>(path)
  expect(torn.lines).toEqual([{ n: 1 }])
  await torn.journal.append([{ n: 3 }], true)
  await torn.journal.close()
  const { journal, lines } = await Journal.open<{ n: number }>(path)
  expect(lines).toEqual([{ n: 1 }, { n: 3 }])
  await journal.close()
})
