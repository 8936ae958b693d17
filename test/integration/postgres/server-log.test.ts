import { appendFileSync, closeSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { serverLog } from '../../../src/postgres/server-log.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

it('PostgreSQL’s log is bounded, keeps its end, and is written on by the server that has it open', () => {
  const directory = makeTemporaryDirectory()
  try {
    const path = join(directory.path, 'server.log')
    const log = serverLog(path)
    const fd = log.open()
    appendFileSync(path, Buffer.alloc(9 * 1024 * 1024, 'x'))
    writeSync(fd, 'the last line\n')
    log.keepShort((error) => expect.unreachable(String(error))).stop()
    expect(statSync(path).size).toBe(256 * 1024)
    const before = log.size()
    writeSync(fd, 'one more\n')
    closeSync(fd)
    expect(log.tail(before)).toBe('one more')
    expect(log.tail(0)).toMatch(/xx\s*the last line\none more$/)
  } finally {
    directory.remove()
  }
})
