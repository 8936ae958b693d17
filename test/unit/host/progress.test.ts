import { appendFileSync, mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { lineBytesMax, readProgress } from '../../../src/host/progress.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

let temporary: ReturnType<typeof makeTemporaryDirectory>
let path: string
beforeEach(() => {
  temporary = makeTemporaryDirectory()
  path = join(temporary.path, 'progress.jsonl')
})
afterEach(() => temporary.remove())

it('[R12] reads whole lines, each once, keys combined or not', () => {
  writeFileSync(path, '{"turn":1,"phase":"build"}\n{"progress":40}\n{"usage":{"inputTokens":3},"other":1}\n{"tur')
  const first = readProgress(path, undefined)
  expect(first).toMatchObject({ turns: [1], phases: ['build'], progressPercent: 40, usage: { inputTokens: 3 } })
  expect(first?.badLine).toBeUndefined()
  expect(readProgress(path, first?.position)).toBeUndefined()
  appendFileSync(path, 'n":2}\n')
  expect(readProgress(path, first?.position)).toMatchObject({ turns: [2], phases: [] })
})

it('[R12] bad lines are passed over, the first one is told without its secrets', () => {
  writeFileSync(path, 'token=abcdefgh\n{"turn":-1}\n{"progress":400}\n[]\n{"turn":5}\n')
  const read = readProgress(path, undefined)
  expect(read?.turns).toEqual([5])
  expect(read?.badLine).toContain('[redacted]')
})

it('[R12] a line without end does not grow without bound', () => {
  writeFileSync(path, 'x'.repeat(lineBytesMax + 10))
  const read = readProgress(path, undefined)
  expect(read?.badLine).toContain('longer than')
  appendFileSync(path, '\n{"turn":1}\n')
  expect(readProgress(path, read?.position)?.turns).toEqual([1])
})

it('[R10] [R12] of a file that one system call made a terabyte long the end is read, once', () => {
  writeFileSync(path, '{"turn":1}\n')
  const before = readProgress(path, undefined)
  truncateSync(path, 1024 ** 4)
  appendFileSync(path, '\n{"turn":9}\n')
  const read = readProgress(path, before?.position)
  expect(read).toMatchObject({ turns: [9], more: false, badLine: expect.stringMatching(/^\d+ bytes were passed over/) })
  expect(readProgress(path, read?.position)).toBeUndefined()
})

it('[R12] a file that was cut or replaced is read from its start; a link or directory is not read at all', () => {
  writeFileSync(path, '{"turn":1}\n{"turn":2}\n')
  const read = readProgress(path, undefined)
  writeFileSync(path, '{"turn":3}\n')
  expect(readProgress(path, read?.position)?.turns).toEqual([3])
  rmSync(path)
  expect(readProgress(path, read?.position)).toBeUndefined()
  symlinkSync('/etc/passwd', path)
  const link = readProgress(path, read?.position)
  expect(link).toMatchObject({ turns: [], badLine: expect.stringContaining('symbolic link') })
  expect(readProgress(path, link?.position)).toBeUndefined()
  rmSync(path)
  mkdirSync(path)
  expect(readProgress(path, undefined)?.badLine).toContain('regular file')
})
