import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { KeptFiles } from '../../../src/os/kept-files.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

const openFiles = () => readdirSync('/proc/self/fd').length

it('[R12] a kept file of a process is that very process’s: once it is gone, its name is looked up again', async () => {
  const files = new KeptFiles<string>()
  const child = spawn('/bin/sleep', ['1000'], { stdio: 'ignore' })
  const asked: string[] = []
  const read = () =>
    files.read('process', () => {
      asked.push('path')
      return asked.length === 1 ? `/proc/${child.pid}/stat` : '/proc/self/stat'
    })
  try {
    expect(read()).toMatch(new RegExp(`^${child.pid} `))
    expect(read()).toMatch(new RegExp(`^${child.pid} `))
    expect(asked).toHaveLength(1)
  } finally {
    const exit = once(child, 'exit')
    child.kill('SIGKILL')
    await exit
  }
  expect(read()).toMatch(new RegExp(`^${process.pid} `))
  expect(asked).toHaveLength(2)
  files.closeUnless(() => false)
})

it('reads what is there now, and keeps nothing open of what is closed, missing or unreadable', () => {
  const directory = makeTemporaryDirectory()
  const files = new KeptFiles<number>()
  const before = openFiles()
  try {
    const path = join(directory.path, 'file')
    for (const content of ['one', 'another one', '']) {
      writeFileSync(path, content)
      for (const key of [1, 2, 3]) expect(files.read(key, () => path)).toBe(content)
    }
    expect(openFiles()).toBe(before + 3)
    files.close(1)
    files.closeUnless((key) => key === 2)
    expect(openFiles()).toBe(before + 1)
    expect(() => files.read(4, () => join(directory.path, 'missing'))).toThrow(
      expect.objectContaining({ code: 'ENOENT' }),
    )
    expect(() => files.read(5, () => directory.path)).toThrow(expect.objectContaining({ code: 'EISDIR' }))
    files.closeUnless(() => false)
    expect(openFiles()).toBe(before)
  } finally {
    files.closeUnless(() => false)
    directory.remove()
  }
})

it('[R8] keeps a part of the files that a process may open, all keepers together, and reads the others all the same', () => {
  const most = Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1])
  const keepers = [new KeptFiles<number>(), new KeptFiles<number>()]
  const before = openFiles()
  // A machine without a limit to speak of would have it open files for minutes.
  const keys = Math.min(most, 10_000)
  try {
    for (let key = 0; key < keys; key += 1) {
      for (const files of keepers) expect(files.read(key, () => '/proc/self/stat')).not.toBe('')
    }
    expect(openFiles() - before).toBe(Math.min(Math.floor(most / 4), 2 * keys))
  } finally {
    for (const files of keepers) files.closeUnless(() => false)
  }
  expect(openFiles()).toBe(before)
})
