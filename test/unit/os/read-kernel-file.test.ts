import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { readKernelFile } from '../../../src/os/read-kernel-file.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

it('reads what readFileSync reads, of any length, one after the other', () => {
  const directory = makeTemporaryDirectory()
  try {
    for (const length of [0, 1, 65_535, 65_536, 65_537, 300_000, 10]) {
      const path = join(directory.path, String(length))
      writeFileSync(path, Buffer.from(Array.from({ length }, (_, index) => (index * 7 + length) % 256)))
      expect(readKernelFile(path) === readFileSync(path, 'latin1'), `${length} bytes`).toBe(true)
    }
  } finally {
    directory.remove()
  }
  expect(readKernelFile('/proc/self/environ')).toBe(readFileSync('/proc/self/environ', 'latin1'))
})

it('says what is missing, and leaves no file open', () => {
  for (let again = 0; again < 2_000; again += 1) {
    expect(() => readKernelFile('/proc/4194305/stat')).toThrow(expect.objectContaining({ code: 'ENOENT' }))
    expect(() => readKernelFile('/proc')).toThrow(expect.objectContaining({ code: 'EISDIR' }))
  }
})
