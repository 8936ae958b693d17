import { expect, it } from 'vitest'
import { exists, parseStat, readIdentity, readStat } from '../../../src/os/process-identity.ts'

it('[R12] parses a process name that looks like the end of the name field', () => {
  const stat = parseStat('4242 (a) R 1 (b)) S 17 4242 99 34816 4242 4194560 1 2 3 4 50 60 0 0 20 0 1 0 777 1 2 3')
  expect(stat).toMatchObject({ pid: 4242, comm: 'a) R 1 (b)', state: 'S', ppid: 17, session: 99, startTime: '777' })
  expect(stat).toMatchObject({ tty: 34816, utimeTicks: 50, stimeTicks: 60 })
})

it('[R12] knows this process, and no process by a pid that cannot be', () => {
  const self = readIdentity(process.pid)
  expect(self && exists(self)).toBe(true)
  expect(self && exists({ ...self, startTime: '1' })).toBe(false)
  expect(readStat(2 ** 22 + 1)).toBeUndefined()
})
